"""Presidio's pattern recognizers, loaded without its language models and called on windows of a text.

`import presidio_analyzer` brings in spaCy, and through it torch and transformers where they are installed: 7 s and
440 MB a worker, for recognizers that use neither. Those are hidden while it loads: 1 s and 120 MB.
"""

import contextlib
import functools
import ipaddress
import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from pipeline.stages._pii_windows import PII_TYPES, PiiType, Window

PRESIDIO_REGIONS = ("US", "GB", "DE", "FR", "IL", "IN", "CA", "BR")
_MOST_REMEMBERED = 200
"""Characters of a window whose findings are remembered."""
_NOT_NEEDED = ("torch", "transformers", "stanza", "gliner", "flair")


class Span(NamedTuple):
    """text[start:stop] is a `type`, with Presidio's score."""

    type: PiiType
    start: int
    stop: int
    score: float


def recognize(text: str, window: Window, regions: tuple[str, ...]) -> list[Span]:
    """What Presidio finds in one window; positions are those of `text`."""
    content = text[window.start : window.stop]
    find = _recognize if len(content) <= _MOST_REMEMBERED else _recognize.__wrapped__
    found = find(window.type, content, regions)
    return [Span(window.type, window.start + start, window.start + stop, score) for start, stop, score in found]


@functools.lru_cache(maxsize=4096)  # the same footer, date or version is met again and again
def _recognize(type_: PiiType, content: str, regions: tuple[str, ...]) -> tuple[tuple[int, int, float], ...]:
    if type_ == "PHONE_NUMBER":
        # With a plus sign the number names its country itself: one region will do, and "possible" is proof enough,
        # since libphonenumber's tables of assigned ranges lag behind.
        recognizer = _phone_recognizer(("US",), 0) if _PLUS.match(content) else _phone_recognizer(regions, 1)
    else:
        recognizer = _recognizers()[type_]
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
def _recognizers() -> dict[PiiType, Any]:
    with _hidden(_NOT_NEEDED):
        from presidio_analyzer.predefined_recognizers import (
            CreditCardRecognizer,
            EmailRecognizer,
            IbanRecognizer,
            IpRecognizer,
            UsSsnRecognizer,
        )
    import tldextract

    # Presidio asks tldextract's global extractor, which fetches the suffix list from the network: this one never does.
    extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None, fallback_to_snapshot=True)

    class OfflineEmailRecognizer(EmailRecognizer):  # type: ignore[misc]
        def validate_result(self, pattern_text: str) -> bool:
            return bool(extract(pattern_text).fqdn)

    made = (OfflineEmailRecognizer(), IpRecognizer(), None, CreditCardRecognizer(), IbanRecognizer(), UsSsnRecognizer())
    return {type_: recognizer for type_, recognizer in zip(PII_TYPES, made, strict=True) if recognizer}


@functools.cache
def _phone_recognizer(regions: tuple[str, ...], leniency: int) -> Any:
    with _hidden(_NOT_NEEDED):
        from presidio_analyzer.predefined_recognizers import PhoneRecognizer

    return PhoneRecognizer(supported_regions=regions, leniency=leniency)


@contextlib.contextmanager
def _hidden(names: tuple[str, ...]) -> Iterator[None]:
    """Make these modules, where not loaded already, unimportable for a moment."""
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None means "not to be found"
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
