"""Presidio's pattern recognizers, each loaded when it is first needed, and called on windows of a text."""

import functools
import ipaddress
import re
from typing import Any, NamedTuple

from pipeline.stages.support import presidio
from pipeline.stages.support.pii_windows import PiiType, Window

PRESIDIO_REGIONS = ("US", "GB", "DE", "FR", "IL", "IN", "CA", "BR")
_MAX_REMEMBERED = 200
"""Characters of a window whose findings are remembered."""
_CLASSES: dict[PiiType, tuple[str, str]] = {
    "IP_ADDRESS": ("generic.ip_recognizer", "IpRecognizer"),
    "CREDIT_CARD": ("generic.credit_card_recognizer", "CreditCardRecognizer"),
    "IBAN_CODE": ("generic.iban_recognizer", "IbanRecognizer"),
    "US_SSN": ("country_specific.us.us_ssn_recognizer", "UsSsnRecognizer"),
}
"""The modules and classes of Presidio's recognizers that are taken as they are."""


class Span(NamedTuple):
    """text[start:stop] is a `type`, with Presidio's score."""

    type: PiiType
    start: int
    stop: int
    score: float


def recognize(text: str, window: Window, regions: tuple[str, ...]) -> list[Span]:
    """What Presidio finds in one window; positions are those of `text`."""
    content = text[window.start : window.stop]
    find = _recognize if len(content) <= _MAX_REMEMBERED else _recognize.__wrapped__
    found = find(window.type, content, regions)
    return [Span(window.type, window.start + start, window.start + stop, score) for start, stop, score in found]


@functools.lru_cache(maxsize=4096)  # the same footer, date or version is met again and again
def _recognize(type_: PiiType, content: str, regions: tuple[str, ...]) -> tuple[tuple[int, int, float], ...]:
    if type_ == "PHONE_NUMBER":
        # With a plus sign the number names its country itself: one region will do, and "possible" is proof enough,
        # since libphonenumber's tables of assigned ranges lag behind.
        recognizer = _phone_recognizer(("US",), 0) if _PLUS.match(content) else _phone_recognizer(regions, 1)
    else:
        recognizer = _recognizer(type_)
    results = recognizer.analyze(content, [type_], None)
    return tuple(sorted((result.start, result.end, float(result.score)) for result in results))


def known_regions(regions: tuple[str, ...]) -> frozenset[str]:
    """The countries libphonenumber knows; it is not loaded for Presidio's own."""
    if set(regions) <= set(PRESIDIO_REGIONS):
        return frozenset(PRESIDIO_REGIONS)
    import phonenumbers

    return frozenset(phonenumbers.SUPPORTED_REGIONS)


def is_public(address: str) -> bool:
    """Whether an address is reachable on the internet, so that it can stand for a person.

    A shortened IPv6 address must be global unicast (2000::/3) as well: names such as `a::b` in code are addresses too.
    """
    ip = ipaddress.ip_interface(address.partition("%")[0]).ip
    if ip.version == 6 and "::" in address and ip not in _GLOBAL_UNICAST:
        return False
    return ip.is_global


_PLUS = re.compile(r".?[(\[（［ \u00a0-]*[+＋]", re.DOTALL)
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")


@functools.cache
def _recognizer(type_: PiiType) -> Any:
    if type_ == "EMAIL_ADDRESS":
        return _email_recognizer()
    return presidio.recognizer_class(*_CLASSES[type_])()


def _email_recognizer() -> Any:
    extract = presidio.suffix_extractor()
    recognizer = presidio.recognizer_class("generic.email_recognizer", "EmailRecognizer")()
    # Presidio asks tldextract's global extractor, which fetches the suffix list from the network: this one never does.
    recognizer.validate_result = lambda text: bool(extract(text).fqdn)
    return recognizer


@functools.cache
def _phone_recognizer(regions: tuple[str, ...], leniency: int) -> Any:
    found = presidio.recognizer_class("generic.phone_recognizer", "PhoneRecognizer")
    return found(supported_regions=regions, leniency=leniency)
