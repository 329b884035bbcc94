"""Where in a text personal data can be: short windows, found by a few compiled patterns.

A recognizer costs 0.1 to 4 CPU ms per KB of text; the patterns here cost 0.01 ms per KB. A window holds everything
its recognizer could match and one character of context on each side.
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

PiiType = Literal["EMAIL_ADDRESS", "IP_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "US_SSN"]
PII_TYPES: tuple[PiiType, ...] = get_args(PiiType)


class Window(NamedTuple):
    """text[start:stop] may hold a `type`."""

    type: PiiType
    start: int
    stop: int


_MARK = (
    "-x\u2010-\u2015\u2212\u30fc\uff0d-\uff0f \u00a0\u00ad\u200b\u2060\u3000()\uff08\uff09\uff3b\uff3d.\\[\\]/~\u2053"
    "\u223c\uff5e"
)
"""What libphonenumber allows between the digits of a phone number; no line break, no comma."""

_NUMBER = re.compile(rf"[0-9](?:(?:[{_MARK}]{{0,4}}+[0-9]){{5,}}+|[0-9]{{0,2}}(?:\.[0-9]{{1,3}}){{3}})")
"""Six digits or more, or something that looks like a short IPv4 address. Every type but email starts from these."""

_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"(?<!\w)(?<![0-9]\.){_BYTE}(?:\.{_BYTE}){{3}}(?!\w|\.[0-9])")
"""Unlike Presidio's (and FineWeb's) pattern it finds nothing in 1.2.3.4.5, a version or a section number."""
_COLONS = re.compile(r":(?::|(?:[0-9A-Fa-f]{1,4}:){5})")
"""What every IPv6 address has: a double colon, or six colons in a row of short groups."""
_IPV6_LEFT = re.compile(r"[0-9A-Fa-f:]{0,30}")
_IPV6_RIGHT = re.compile(r"[0-9A-Fa-f:.%/]{0,45}")

_CARD_START = re.compile(r"[13-6][0-9]{3}")
_SSN = re.compile(r"(?<!\w)[0-9]{3}([- .])[0-9]{2}\1[0-9]{4}(?!\w)")
_IBAN = re.compile(r"(?<![A-Z0-9])[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){8,40}")

_LOCAL = re.compile(r"[!#$%&'*+\-/=?^_`{|}~.\w]+")
_LOCAL_CASED = re.compile(r"[!#$%&'*+\-/=?^_`{|}~.0-9A-Za-z\u00aa-\u058f]+")
_DOMAIN = re.compile(r"[\w.-]+")
_DOMAIN_CASED = re.compile(r"[\w.-][0-9A-Za-z_.\u00aa-\u058f-]*")

_DAY = r"[0-3]?[0-9][./-] ?[01]?[0-9][./-] ?(?:19|20)[0-9]{2}"
_SHORT_DAY = r"[0-3]?[0-9]([./])[01]?[0-9]\1[0-9]{2}"
_ISO_DAY = r"(?:19|20)[0-9]{2}[./-][01]?[0-9](?:[./-][0-3]?[0-9])?"
_YEAR = r"(?:19|20)[0-9]{2}"
_HOUR = r"[0-2]?[0-9] ?\.[0-5][0-9]"
_BETWEEN = rf"[{_MARK}]{{1,4}}"
_NOT_A_PHONE = re.compile(
    rf"(?:[0-9]{{1,2}}\.? )?(?:{_DAY}|{_ISO_DAY}|{_YEAR})(?:{_BETWEEN}(?:{_DAY}|{_ISO_DAY}|{_YEAR}|[0-9]{{1,2}}))*"
    rf"|{_SHORT_DAY}(?: [0-9]{{1,2}})?"
    rf"|{_HOUR} ?[-\u2012-\u2015] ?{_HOUR}"
    r"|[0-9]{4} ?[-\u2012-\u2015] ?[0-9]{4}"  # from 1800 to 2000
    r"|(?:0|[1-9][0-9]{0,4})\.[0-9]{4,}"  # a decimal fraction
    r"|[0-9]+ ?x ?[0-9]+(?: ?x ?[0-9]+)?"  # a size
    r"|[1-9][0-9]{0,2}(?:[. ]0{3})+"  # a round number with its thousands apart
    r"|.*[0-9]{13}.*"  # an identifier
)
_OPENING = "+＋([（［ \u00a0-"
_EXTENSION = re.compile(r"[ \u00a0.,;]*(?:e?xt|;ext=|#|anexo|int\b|x)", re.IGNORECASE)
_MIN_PHONE_DIGITS, _MAX_PHONE_DIGITS = 7, 40
"""More digits in a row, however spaced, are a table or a dump; libphonenumber would try every part of it in turn."""


def windows(text: str, types: frozenset[PiiType]) -> list[Window]:
    """Every place where one of `types` may stand, in no particular order; windows may overlap."""
    found: list[Window] = []
    if "EMAIL_ADDRESS" in types and "@" in text:
        found += _emails(text)
    if "IP_ADDRESS" in types and text.count(":") > 1:
        found += _ipv6(text)
    numbers = types - {"EMAIL_ADDRESS"}
    if numbers:
        for match in _NUMBER.finditer(text):
            found += _in_number(text, match.start(), match.end(), numbers)
    return found


def _emails(text: str) -> Iterator[Window]:
    """A window around each @ between a name and a domain with a dot.

    In scripts without spaces an address stands right against other letters, and `\\w` would take those in. So next to
    a letter of a cased script (Latin, Greek, Cyrillic ...) only such letters count.
    """
    at = text.find("@")
    while at >= 0:
        before, after = text[max(0, at - 255) : at][::-1], text[at + 1 : at + 256]
        local = (_LOCAL_CASED if before[:1] < "\u0590" else _LOCAL).match(before)
        domain = (_DOMAIN_CASED if after[:1] < "\u0590" else _DOMAIN).match(after)
        if local and domain and "." in domain.group().strip("."):
            yield Window("EMAIL_ADDRESS", at - local.end(), at + 1 + domain.end())
        at = text.find("@", at + 1)


def _ipv6(text: str) -> Iterator[Window]:
    at = 0
    while match := _COLONS.search(text, at):
        left = _IPV6_LEFT.match(text[max(0, match.start() - 30) : match.start()][::-1])
        right = _IPV6_RIGHT.match(text, match.end())
        assert left is not None and right is not None  # both match nothing, too
        start, at = match.start() - left.end(), right.end()
        if at - start > 2 and text.count(":", start, at) < 9 and not text[start - 1 : start].isalnum():
            yield Window("IP_ADDRESS", max(0, start - 1), at + 1)


def _in_number(text: str, start: int, stop: int, types: frozenset[PiiType]) -> Iterator[Window]:
    """The windows of all types but email in and around a run of digits."""
    before = max(0, start - 1)
    run = text[start:stop]
    digits = sum(map(run.count, "0123456789"))
    if "IP_ADDRESS" in types and run.count(".") > 2:
        for match in _IPV4.finditer(text, before, stop + 2):
            yield Window("IP_ADDRESS", max(0, match.start() - 1), match.end() + 4)
    if "CREDIT_CARD" in types and digits > 12 and _CARD_START.search(run):
        yield Window("CREDIT_CARD", before, stop + 1)
    if "US_SSN" in types and digits > 8 and text[before:start] != "+":
        for match in _SSN.finditer(text, before, stop + 1):
            yield Window("US_SSN", max(0, match.start() - 1), match.end() + 1)
    if "IBAN_CODE" in types:
        # The digits of an IBAN start at most ten characters into it: two letters, two digits, a bank's name.
        iban = _IBAN.search(text, max(0, start - 11), stop + 40)
        if iban and iban.start() <= start:
            yield Window("IBAN_CODE", max(0, iban.start() - 1), iban.end() + 1)
    if "PHONE_NUMBER" in types and _MIN_PHONE_DIGITS <= digits <= _MAX_PHONE_DIGITS:
        yield from _phone(text, start, stop, digits)


def _phone(text: str, start: int, stop: int, digits: int) -> Iterator[Window]:
    run = text[start:stop]
    before = text[max(0, start - 5) : start]
    lead = before[len(before.rstrip(_OPENING)) :]
    if "+" not in lead and "＋" not in lead:
        # Eight digits: with fewer, libphonenumber takes German postcodes for numbers.
        if digits < 8 or _NOT_A_PHONE.fullmatch(run):
            return
        if digits == len(run) and run[0] != "0" and digits not in (10, 11):
            return  # a bare number of another length is an identifier
        if lead == "-" and before[-2:-1].isalnum():
            return  # so is the end of a hyphenated word
    if _in_url(text, start):
        return
    margin = 28 if _EXTENSION.match(text, stop) else 1
    while margin < 40 and text[stop + margin - 1 : stop + margin].isdigit():
        margin += 1
    yield Window("PHONE_NUMBER", max(0, start - len(lead) - 1), stop + margin)


def is_plausible(text: str, type_: PiiType, start: int, stop: int) -> bool:
    """Whether neither the shape nor the neighbourhood of a finding speaks against it.

    Presidio accepts dates, times, years, sizes and ISBNs as German or Israeli phone numbers, one decimal fraction in
    ten as a credit card, and the first four numbers of the version 1.2.3.4.5 as an address.
    """
    value, behind, ahead = text[start:stop], text[max(0, start - 2) : start], text[stop : stop + 2]
    goes_on = (behind[1:] == "." and behind[0].isdigit()) or (ahead[:1] == "." and ahead[1:].isdigit())
    if type_ == "PHONE_NUMBER":
        digits = sum(map(value.count, "0123456789"))
        shaped = "+" in value or "＋" in value or not _NOT_A_PHONE.fullmatch(value)
        return digits >= _MIN_PHONE_DIGITS and shaped and "ISBN" not in text[max(0, start - 12) : start]
    if type_ == "CREDIT_CARD":
        return not goes_on and not (behind[1:] == "," and behind[0].isdigit())
    return type_ != "IP_ADDRESS" or not goes_on


def _in_url(text: str, position: int) -> bool:
    token = text[max(0, position - 200) : position].split()
    inside = bool(token) and not text[position - 1].isspace()
    return inside and ("://" in token[-1] or token[-1].startswith("www."))
