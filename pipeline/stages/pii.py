"""Replace personal data: email, IP and phone, credit card, IBAN and US social security numbers."""

import bisect
import dataclasses
from collections import Counter
from collections.abc import Iterable
from typing import Literal

from pipeline.contract.fields import check_fields
from pipeline.document import Document
from pipeline.stages.support.pii_recognizers import PRESIDIO_REGIONS, Span, is_public, known_regions, recognize
from pipeline.stages.support.pii_windows import PII_TYPES, PiiType, is_plausible, windows

PLACEHOLDERS: dict[PiiType, str] = {
    "EMAIL_ADDRESS": "email@example.com",
    "IP_ADDRESS": "192.0.2.1",
    "PHONE_NUMBER": "000-000-0000",
    "CREDIT_CARD": "0000-0000-0000-0000",
    "IBAN_CODE": "XX00 0000 0000 0000 0000",
    "US_SSN": "000-00-0000",
}
"""Of the right shape and nobody's: RFC 2606's example.com, RFC 5737's and RFC 3849's documentation networks, numbers
that are never assigned. FineWeb's own replacement IPs are somebody's."""
_IPV6_PLACEHOLDER = "2001:db8::1"
_MAX_PASSES = 8


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Pii:
    """Replace what Presidio's recognizers find; never drops a document.

    The recognizers run on short candidate windows only, so that a clean page costs next to nothing. The result is a
    fixed point: a second run finds nothing. FineWeb replaced email and public IP addresses alone:
    `types: [EMAIL_ADDRESS, IP_ADDRESS]`.
    """

    types: tuple[PiiType, ...] = PII_TYPES
    """What to replace."""
    replacement: Literal["placeholder", "tag"] = "placeholder"
    """`placeholder`: a harmless value of the same shape, as FineWeb has it (email@example.com). `tag`: the type, as
    in `<EMAIL_ADDRESS>`."""
    min_score: float = 0.4
    """Presidio's score from which a finding counts, 0 to 1: a checksum that holds scores 1, an IP address 0.6, a
    social security number 0.5, a phone number 0.4."""
    public_ips_only: bool = True
    """Leave addresses that are private, reserved or for documentation, as FineWeb does."""
    phone_regions: tuple[str, ...] = PRESIDIO_REGIONS
    """Countries (ISO 3166) whose national phone numbers are looked for; numbers with a + are found for all."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 <= self.min_score <= 1:
            raise ValueError(f"min_score: must be from 0 to 1, got {self.min_score}")
        unknown = [region for region in self.phone_regions if region not in known_regions(self.phone_regions)]
        if unknown:
            raise ValueError(f"phone_regions: no country code such as GB or US: '{unknown[0]}'")

    def prepare(self) -> None:
        """Load Presidio's recognizers, which takes a second."""
        self.find("someone@example.org 192.88.99.1")

    def __call__(self, doc: Document) -> Document:
        """The document with personal data replaced and counted per type in `pii_counts`."""
        text, counts = self.scrub(doc.text)
        if not counts:
            return doc
        total = Counter(doc.pii_counts)
        total.update(counts)
        return doc.replace(text=text, pii_counts=dict(sorted(total.items())))

    def scrub(self, text: str) -> tuple[str, dict[str, int]]:
        """The text with everything replaced, and how many replacements of each type."""
        counts: Counter[str] = Counter()
        for _ in range(_MAX_PASSES):  # a replacement may join with its neighbours into something new
            spans = self.find(text)
            if not spans:
                break
            counts.update(span.type for span in spans)
            text = self._replace(text, spans)
        return text, dict(sorted(counts.items()))

    def find(self, text: str) -> list[Span]:
        """What would be replaced, in order, without overlaps.

        Of overlapping findings the one with the higher score wins, then the longer, then the earlier. An address that
        is left alone for not being public still keeps other types from its characters.
        """
        types = frozenset(self.types)
        if "PHONE_NUMBER" in types:  # an IP address must not be taken for a phone number
            types |= {"IP_ADDRESS"}
        found = [span for window in windows(text, types) for span in recognize(text, window, self.phone_regions)]
        sure = [s for s in found if s.score >= self.min_score and is_plausible(text, s.type, s.start, s.stop)]
        return [span for span in _without_overlaps(sure) if self._is_wanted(text, span)]

    def _is_wanted(self, text: str, span: Span) -> bool:
        value = text[span.start : span.stop]
        if span.type not in self.types or value in (PLACEHOLDERS[span.type], _IPV6_PLACEHOLDER):
            return False
        return span.type != "IP_ADDRESS" or not self.public_ips_only or is_public(value)

    def _replace(self, text: str, spans: list[Span]) -> str:
        parts, position = [], 0
        for span in spans:
            parts += [text[position : span.start], self._substitute(text[span.start : span.stop], span.type)]
            position = span.stop
        return "".join([*parts, text[position:]])

    def _substitute(self, value: str, type_: PiiType) -> str:
        if self.replacement == "tag":
            return f"<{type_}>"
        return _IPV6_PLACEHOLDER if type_ == "IP_ADDRESS" and ":" in value else PLACEHOLDERS[type_]


def _without_overlaps(spans: Iterable[Span]) -> list[Span]:
    kept: list[Span] = []  # in order of start; no two overlap, so stops are in order too
    for span in sorted(set(spans), key=lambda span: (-span.score, span.start - span.stop, span.start, span.type)):
        place = bisect.bisect(kept, span.start, key=lambda other: other.start)
        free_before = place == 0 or kept[place - 1].stop <= span.start
        if free_before and (place == len(kept) or span.stop <= kept[place].start):
            kept.insert(place, span)
    return kept
