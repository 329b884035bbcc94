"""The few texts of a run that its clusters are shown with, and how alike two of them are."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.contract.tables import readable
from pipeline.dedup.config import DedupConfig
from pipeline.dedup.signing import shingled

MAX_CHARACTERS = 1_000_000
"""Longer texts are not compared."""
Where = tuple[str, str, int]
"""id, warc_path, warc_offset."""


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """A document of a cluster."""

    id: str
    url: str
    warc_path: str
    warc_offset: int

    @property
    def where(self) -> Where:
        """What tells it from every other page of the run."""
        return self.id, self.warc_path, self.warc_offset


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    """A document and the one of its cluster that was kept."""

    page: Page
    kept: str
    """Id of the kept document."""
    reason: str
    """exact_duplicate, near_duplicate or another reason of `dropped`; empty where the run keeps duplicates."""
    estimate: float | None
    """Jaccard similarity as estimated from the signatures."""
    run: str | None = None
    """Folder of the earlier run that has the kept document (`dedup.previous_runs`); None: it is in this run."""
    exact: float | None = None
    """Of the shingles; None where a text is gone or too long."""


class Texts:
    """The texts of a few documents, and how alike they are.

    Args:
        survivors: parts of the documents that dedup left.
        removed_parts: parts that hold the texts of the others, where any do.
        config: says what is compared.
        previous_run: the folder of a previous run by the name that a pair has for it, where it is not gone.
    """

    def __init__(
        self,
        survivors: Sequence[Path],
        removed_parts: Sequence[Path],
        config: DedupConfig,
        previous_run: Callable[[str], Path | None],
    ) -> None:
        self._survivors, self._removed_parts = survivors, removed_parts
        self._config, self._previous_run = config, previous_run
        self._removed: dict[Where, str] = {}
        self._kept: dict[tuple[str | None, str], str] = {}

    def load(self, kept: Sequence[Where], pairs: Sequence[Pair]) -> None:
        """Read the texts of kept documents and of both sides of pairs."""
        names: dict[str | None, set[str]] = {None: {name for name, _, _ in kept}}
        for pair in pairs:
            names.setdefault(pair.run, set()).add(pair.kept)
        for run, ids in names.items():
            folder = self._previous_run(run) if run else None
            parts = self._survivors if run is None else survivors(folder) if folder else ()
            for path in parts if ids else ():
                for row in _read_texts(path, ids):
                    self._kept.setdefault((run, row["id"]), row["text"])
        wanted = {pair.page.where for pair in pairs}
        ids = {name for name, _, _ in wanted}
        for path in self._removed_parts if ids else ():
            for row in _read_texts(path, ids):
                where = row["id"], row["warc_path"], row["warc_offset"]
                if where in wanted:
                    self._removed[where] = row["text"]

    def pair_texts(self, pair: Pair) -> tuple[str, str] | None:
        """(kept text, the other text) of a pair, or None where one is gone or too long."""
        kept, other = self._kept.get((pair.run, pair.kept)), self._removed.get(pair.page.where)
        return None if kept is None or other is None else (kept, other)

    def compared(self, pair: Pair) -> Pair:
        """The pair with its exact Jaccard similarity."""
        texts = self.pair_texts(pair)
        return dataclasses.replace(pair, exact=exact_jaccard(*texts, self._config)) if texts else pair


def survivors(out: Path) -> list[Path]:
    """Parts of the documents that dedup left: its own, or where they are gone, the final ones; none without `out`."""
    folders = (out / "steps/dedup/documents", out / "documents")
    return next((parts for folder in folders if (parts := sorted(folder.glob("part-*.parquet")))), [])


def _read_texts(path: Path, ids: set[str]) -> list[dict[str, Any]]:
    """Rows of a part that have one of the ids and a text that is not too long."""
    wanted = pa.array(sorted(ids), pa.string())
    rows: list[dict[str, Any]] = []
    with readable(path), pq.ParquetFile(path) as source:
        for number in range(source.num_row_groups):
            names = source.read_row_group(number, columns=["id"])["id"]
            if pc.any(pc.is_in(names, wanted)).as_py():
                table = source.read_row_group(number, columns=["id", "warc_path", "warc_offset", "text"])
                table = table.filter(pc.is_in(table["id"], wanted))
                short = pc.less_equal(pc.utf8_length(table["text"]), MAX_CHARACTERS)
                rows += table.filter(short).to_pylist()  # null: no text was stored
    return rows


def exact_jaccard(left: str, right: str, config: DedupConfig) -> float:
    """Jaccard similarity of two texts' sets of shingles, as the config makes them; 1.0 where they normalize alike.

    Texts too short for any shingle are 0.0 alike, unless they are the same.
    """
    texts = shingled([left, right], config)
    if (texts.digests[0] == texts.digests[1]).all():
        return 1.0
    low, middle, high = texts.offsets.tolist()
    lefts, rights = set(texts.shingles[low:middle].tolist()), set(texts.shingles[middle:high].tolist())
    return len(lefts & rights) / max(1, len(lefts | rights))
