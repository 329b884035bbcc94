"""Which benchmark items stand on pages that were read: OUT/contamination, written by a build that looked for them.

matches.parquet   one row for each item and page that share a run of words, in the order of the parts
items.parquet     one row for each item of each benchmark, in the order of the benchmarks, matched or not
"""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract.errors import InputError
from pipeline.contract.run import RunRecord

FOLDER = "contamination"
MATCHES, ITEMS = f"{FOLDER}/matches.parquet", f"{FOLDER}/items.parquet"
State = Literal["clean", "contaminated", "unchecked"]

OVERLAP_FIELDS = [
    ("benchmark", pa.string()),  # file name
    ("item", pa.string()),  # its field `id`, or its line number
    ("ngrams", pa.int32()),  # different n-grams shared
    ("length", pa.int32()),  # words in the longest run shared
    ("share", pa.float32()),  # of the item's words that lie in a shared run
    ("words", pa.string()),  # the first n-gram shared, as the page writes it
]
MATCHES_SCHEMA = pa.schema(
    [
        *OVERLAP_FIELDS,
        ("outcome", pa.string()),  # of the page: kept, dropped or quarantined
        ("reason", pa.string()),  # step.stage.reason, where it was dropped
        ("id", pa.string()),
        ("url", pa.string()),
        ("warc_path", pa.string()),
        ("warc_offset", pa.int64()),
    ]
)
ITEMS_SCHEMA = pa.schema(
    [
        ("benchmark", pa.string()),
        ("item", pa.string()),
        ("checked", pa.bool_()),  # false: too short, or made of words that many items share
        ("kept", pa.int64()),  # pages with a match among the documents
        ("dropped", pa.int64()),  # pages with a match that were dropped or quarantined
        ("ngrams", pa.int32()),  # the most on one page
        ("length", pa.int32()),
        ("share", pa.float32()),
    ]
)


class Overlap(NamedTuple):
    """What a page shares with one benchmark item."""

    benchmark: str
    """File name."""
    item: str
    """The item's id."""
    ngrams: int
    """Different n-grams of the item found on the page."""
    words: str
    """The first of them, as the page writes it."""
    length: int
    """Words in the longest run of them on the page."""
    share: float
    """Of the words of the question (with the choice that fits best) that lie in a shared n-gram."""


@dataclasses.dataclass(frozen=True, slots=True)
class Contamination:
    """What a run knows of benchmarks."""

    states: Mapping[tuple[str, str], State]
    """(benchmark, item) -> contaminated: on a page that was kept; unchecked: no n-gram of it could be looked for."""
    files: Mapping[str, str]
    """Benchmark -> SHA-256 of its file."""


def read_contamination(out: Path) -> Contamination:
    """What a finished run found of its benchmarks.

    Raises:
        InputError: `out` is no run folder, is not done, or looked for no benchmarks.
    """
    record = RunRecord.read(out)
    path = out / ITEMS
    if record.state != "done":
        raise InputError(str(out), f"is {record.state}, not done", hint="run the build to its end first")
    if not path.is_file():
        hint = "build with the stage `decontaminate: {benchmarks: [...]}`; `max_overlap: null` drops nothing"
        raise InputError(str(out), "has not looked for benchmark items", hint=hint)
    states: dict[tuple[str, str], State] = {}
    for row in _rows(path):
        key = str(row["benchmark"]), str(row["item"])
        found: State = "contaminated" if row["kept"] else "clean" if row["checked"] else "unchecked"
        # Two lines of a file may bear the same id: the worse of the two holds for both.
        states[key] = max(found, states.get(key, found), key=("clean", "unchecked", "contaminated").index)
    named = {Path(name).name: sha256 for name, sha256 in record.files.items()}
    return Contamination(states, {name: named[name] for name in {key[0] for key in states} if name in named})


def _rows(path: Path) -> Iterator[dict[str, object]]:
    try:
        with pq.ParquetFile(path) as source:
            for batch in source.iter_batches(columns=["benchmark", "item", "checked", "kept"]):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise InputError(str(path), f"cannot be read as parquet: {error}") from error
