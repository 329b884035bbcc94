"""Drop exact copies of a page before anything of it is parsed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.contract.fields import check_fields
from pipeline.document import Document, Drop, Stage
from pipeline.stages import name_of


@dataclass(frozen=True, kw_only=True, slots=True)
class PayloadDigest:
    """Drop a response whose body was met before: same bytes, same charset, so the same text. Reason: `copy`.

    The detail is the id of the page that goes on in its stead. Copies are found within a dump, by a 128-bit hash of
    our own or the bytes themselves (a declared WARC-Payload-Digest is not trusted), among the pages that the screen
    and the stages before this one let through; those may look at the address alone (`url_filter`, which cannot stand
    after it). What happens to the page that goes on happens to its copies: they were dropped for being the same. If it
    hangs the extractor it is quarantined, can be replayed, and `tokenmill trace` of a copy says so.

    `dedup` would find the same copies later: this stage spares extracting them. A build with `scope: run` keeps the
    same documents, byte for byte and with the same `cluster_size`, as one without (with `dedup.keep: earliest`).
    It needs `dedup`: a run that keeps every duplicate (`dedup: null`) refuses it. Texts (WET, parquet, jsonl) pass.
    """

    scope: Literal["run", "split"] = "run"
    """`run`: copies in all inputs; the earliest stays (then the smallest id, as `dedup.keep: earliest`). Every input is
    read once more beforehand. `split`: copies in one input file; the first of the file stays, `cluster_size` does not
    count the others, and a page costs a fast hash more."""

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, doc: Document) -> Document | Drop:
        return doc if doc.copy_of is None else Drop("copy", detail=doc.copy_of)


def refuse_misplaced(extract: Sequence[Stage], elsewhere: Sequence[Stage]) -> None:
    """Raise ValueError where a `payload_digest` could drop a copy of a page that an address rule drops.

    A stage that looks at the address alone says so with a class attribute `ADDRESS_ONLY = True`.
    """
    places = [number for number, stage in enumerate(extract) if isinstance(stage, PayloadDigest)]
    if any(isinstance(stage, PayloadDigest) for stage in elsewhere):
        raise ValueError("payload_digest: can only stand in `extract`, before a page is parsed")
    if len(places) > 1:
        raise ValueError("payload_digest: stands twice; leave one out")
    for number, stage in enumerate(extract if places else ()):
        address_only, name = getattr(type(stage), "ADDRESS_ONLY", False), name_of(type(stage))
        if number < places[0] and not address_only:
            raise ValueError(f"payload_digest: only stages that look at the address alone may stand before it, "
                             f"not {name}; put {name} behind it")  # fmt: skip
        if number > places[0] and address_only:
            raise ValueError(f"payload_digest: copies of a page that {name} drops would be lost; put {name} before it")
