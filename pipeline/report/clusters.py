"""`tokenmill clusters OUT`: the biggest clusters of a finished run, their hosts and members, and how alike pairs are.

Three passes over columns of the run's tables, one batch at a time; memory depends on what is shown, not on the run:

    documents left by dedup   -> sizes of all clusters, the biggest ones
    dropped by dedup          -> their members and hosts; a sample of all pairs (removed document, kept document)
    texts of a few documents  -> exact Jaccard similarity of the sampled pairs, differences side by side
"""

import collections
import dataclasses
import heapq
import itertools
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.contract.config import build
from pipeline.contract.errors import InputError
from pipeline.contract.run import RunRecord
from pipeline.contract.tables import read_batches
from pipeline.dedup.config import DedupConfig
from pipeline.dedup.diff import Diff, diff
from pipeline.report.cluster_texts import Page, Pair, Texts, survivors

TOP, MEMBERS, PAIRS = 50, 5, 300
MAX_HOSTS = 10_000
"""Different hosts counted of one cluster; pages of any more are counted together."""
SHOWN_HOSTS = 5
_HOST = r"^[^:/?#]+://(?:[^/?#@]*@)*(?P<host>\[[^\]/?#]*\]|[^/?#:\[\]]+)"
_WITHOUT_STEPS = "final documents; those removed only where run.dropped_text stored them (run.keep_steps is off)"
LEVELS = (0.7, 0.8)
_EDGES = (0.5, 0.6, 0.7, 0.8, 0.9)
WORST = 5
_PLACE = ["id", "url", "warc_path", "warc_offset"]


@dataclasses.dataclass(frozen=True, slots=True)
class Cluster:
    """One of the biggest clusters."""

    kept: Page
    size: int
    hosts: tuple[tuple[str, int], ...]
    """Of the other members: the most frequent, with their pages."""
    other_hosts: int
    """How many more hosts there are, at least."""
    members: tuple[Pair, ...]
    """A sample of the others, the least alike first."""
    shown: str | None
    """Id of the member that `difference` compares with the kept document."""
    difference: Diff | None
    """None where one of the two texts is gone (see Clusters.texts)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Precision:
    """How alike near-duplicates are to the document that was kept in their stead, by a sample."""

    pairs: int
    """Near-duplicates of the run."""
    sampled: int
    compared: int
    """Of the sample; the others' texts are gone or too long, or the kept one is in a previous run."""
    at_least: tuple[tuple[float, float], ...]
    """(Jaccard similarity, share of the compared pairs that reach it)."""
    histogram: tuple[tuple[str, int], ...]
    """(range of Jaccard similarities, compared pairs in it)."""
    mean: float | None
    mean_estimate: float | None
    """Of the same pairs."""
    mean_error: float | None
    """Mean of |estimate - exact|."""
    worst: tuple[Pair, ...]
    """The least alike of the compared."""


@dataclasses.dataclass(frozen=True, slots=True)
class Clusters:
    """What dedup found in a run."""

    clusters: int
    """Of two documents or more."""
    removed: Mapping[str, int]
    """Reason -> documents that went, or would have gone."""
    for_previous_runs: int
    """Of these, documents that went for one of a previous run; `top` has none of their clusters."""
    sizes: tuple[tuple[int, int], ...]
    """(documents, clusters of so many), ascending."""
    top: tuple[Cluster, ...]
    precision: Precision
    seed: int
    texts: str
    """Where the texts compared come from."""
    partial: bool
    """Whether only some of the parts were looked at."""


def find_clusters(
    out: Path,
    *,
    top: int = TOP,
    members: int = MEMBERS,
    pairs: int = PAIRS,
    seed: int = 0,
    most_parts: int | None = None,
    record: RunRecord | None = None,
) -> Clusters:
    """The clusters of a finished run.

    Args:
        out: the run folder.
        top: how many of the biggest to describe.
        members: how many members of each to sample.
        pairs: how many near-duplicates of the whole run to compare exactly with the kept document.
        seed: of both samples, which are keyed by document id.
        most_parts: look at no more parts than this, evenly spread.
        record: of the run, where it is not on disk yet.

    Raises:
        InputError: `out` is no run folder, or is not done.
    """
    record = record or RunRecord.read(out)
    if record.state != "done":
        raise InputError(str(out), f"is {record.state}, not done", hint="run the build to its end first")
    config: DedupConfig = build(DedupConfig, record.config.get("dedup") or {}, "dedup")
    tables = _Tables.list_parts(out, most_parts)
    sizes, biggest = _biggest(tables, top)
    removed = _members(tables, [page.id for _, page in biggest], members, pairs, seed)
    texts_from = tables.dedup_input or (*tables.dropped, *tables.survivors)
    texts = Texts(tables.survivors, texts_from, config, record.previous_run)
    wanted = [pair for sample in removed.samples.values() for pair in sample]
    texts.load([*(page.where for _, page in biggest)], [*wanted, *removed.pairs])
    described = [
        _describe(page, size, removed, [texts.compared(pair) for pair in removed.samples[page.id]], texts)
        for size, page in biggest
    ]
    return Clusters(
        clusters=sum(sizes.values()),
        removed=dict(sorted(removed.reasons.items())),
        for_previous_runs=removed.for_previous_runs,
        sizes=tuple(sorted(sizes.items())),
        top=tuple(described),
        precision=_precision(removed, [texts.compared(pair) for pair in removed.pairs]),
        seed=seed,
        texts="as deduplicated" if tables.dedup_input else _WITHOUT_STEPS,
        partial=tables.partial,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Tables:
    """The parts to look at."""

    survivors: tuple[Path, ...]
    """What dedup left: its own parts, or where they are gone, the final documents."""
    dropped: tuple[Path, ...]
    dedup_input: tuple[Path, ...]
    """What dedup read; none where it is gone."""
    partial: bool

    @classmethod
    def list_parts(cls, out: Path, max_parts: int | None) -> "_Tables":
        kept_parts = survivors(out)
        step = 1 if max_parts is None else max(1, -(-len(kept_parts) // max_parts))
        chosen = kept_parts[::step]
        keys = {_key(path) for path in chosen}
        removed = [path for name in ("dedup", "extract") for path in _parts(out / "dropped", f"part-{name}-")]
        dropped, dedup_input = (
            [path for path in paths if step == 1 or _key(path) in keys]
            for paths in (removed, _parts(out / "steps/filter/documents"))
        )
        return cls(tuple(chosen), tuple(dropped), tuple(dedup_input), step > 1)


def _parts(folder: Path, prefix: str = "part-") -> list[Path]:
    return sorted(folder.glob(f"{prefix}*.parquet"))


def _key(path: Path) -> str:
    """What a part is called in every step and folder."""
    return path.stem.removeprefix("part-").removeprefix("dedup-").removeprefix("extract-")


def _batches(path: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    return read_batches(path, columns)


def _biggest(tables: _Tables, top: int) -> tuple[dict[int, int], list[tuple[int, Page]]]:
    """(cluster size -> clusters, the biggest clusters with the document that was kept, ties by id)."""
    sizes: collections.Counter[int] = collections.Counter()
    best: list[tuple[int, str, Page]] = []
    for path in tables.survivors:
        for table in _batches(path, [*_PLACE, "cluster_size", "cluster_id"]):
            chosen = pc.greater(table["cluster_size"], 1)
            if "cluster_id" in table.column_names:  # a run may keep all members: only one stands for the cluster
                stays = pc.or_kleene(pc.is_null(table["cluster_id"]), pc.equal(table["cluster_id"], table["id"]))
                chosen = pc.and_(chosen, stays)
            table = table.filter(chosen)
            sizes.update(
                {entry["values"]: entry["counts"] for entry in table["cluster_size"].value_counts().to_pylist()}
            )
            order = [("cluster_size", "descending"), ("id", "ascending")]
            table = table.take(pc.sort_indices(table, sort_keys=order)[:top])
            best += [(-row["cluster_size"], row["id"], _page(row)) for row in table.to_pylist()]
            best = sorted(best, key=lambda entry: (*entry[:2], entry[2].where))[:top]
    return dict(sizes), [(-size, page) for size, _, page in best]


@dataclasses.dataclass(slots=True)
class _RemovedSummary:
    """What the pass over the removed documents collects."""

    reasons: collections.Counter[str]
    near: int
    for_previous_runs: int
    hosts: dict[str, collections.Counter[str]]
    samples: dict[str, list[Pair]]
    """Members of the biggest clusters, by the id of the kept document."""
    pairs: list[Pair]


def _members(tables: _Tables, kept: Sequence[str], members: int, pairs: int, seed: int) -> _RemovedSummary:
    removed = _RemovedSummary(collections.Counter(), 0, 0, {name: collections.Counter() for name in kept}, {}, [])
    samples = {name: _Sample(members, seed) for name in kept}
    sample = _Sample(pairs, seed)
    biggest = pa.array(kept, pa.string())
    for table in _removed(tables):
        removed.reasons.update(
            {entry["values"]: entry["counts"] for entry in table["reason"].value_counts().to_pylist()}
        )
        near = table.filter(pc.is_in(table["reason"], pa.array(["near_duplicate", ""])))
        removed.near += len(near)
        if "match_run" in table.column_names:
            removed.for_previous_runs += len(table) - table["match_run"].null_count
        sample.offer(near)
        table = table.filter(pc.is_in(table["detail"], biggest))
        for name in pc.unique(table["detail"]).to_pylist():
            cluster_rows = table.filter(pc.equal(table["detail"], name))
            samples[name].offer(cluster_rows)
            _count(removed.hosts[name], hosts(cluster_rows["url"]))
    removed.samples = {name: drawn.pairs() for name, drawn in samples.items()}
    removed.pairs = sample.pairs()
    return removed


def _removed(tables: _Tables) -> Iterator[pa.Table]:
    """Every document that has a better one in its cluster, in tables with the columns of `dropped`."""
    for path in tables.dropped:
        for table in _batches(path, [*_PLACE, "step", "stage", "reason", "value", "detail", "estimate", "match_run"]):
            copies = pc.and_(pc.equal(table["stage"], "payload_digest"), pc.equal(table["step"], "extract"))
            yield table.filter(pc.or_(pc.equal(table["step"], "dedup"), copies))
    for path in tables.survivors:  # a run that keeps all members names their cluster
        for table in _batches(path, [*_PLACE, "cluster_id"]):
            if "cluster_id" in table.column_names:
                table = table.filter(pc.not_equal(table["cluster_id"], table["id"]))
                table = table.rename_columns([*table.column_names[:-1], "detail"])
                table = table.append_column("reason", pa.repeat("", len(table)))
                yield table.append_column("value", pa.nulls(len(table), pa.float64()))


class _Sample:
    """The rows with the smallest keyed hashes of their ids: the same ones in whatever order they come."""

    def __init__(self, number: int, seed: int) -> None:
        self._number, self._key = number, f"tokenmill clusters {seed}".encode()
        self._heap: list[tuple[int, str, int, Pair]] = []  # negated hash: the largest is first

    def offer(self, table: pa.Table) -> None:
        """Take rows in; only those that may stay are turned into Python objects."""
        hashes = [self._hash(name) for name in table["id"].to_pylist()] if self._number else []
        full = len(self._heap) == self._number
        at = [number for number, value in enumerate(hashes) if not full or value <= -self._heap[0][0]]
        for number, row in zip(at, table.take(pa.array(at, pa.int64())).to_pylist(), strict=True):
            self._add(hashes[number], row)

    def _add(self, hashed: int, row: Mapping[str, Any]) -> None:
        estimate = row["value"] if row.get("estimate") is None else row["estimate"]
        pair = Pair(_page(row), str(row["detail"]), row["reason"], estimate, row.get("match_run"))
        entry = (-hashed, row["warc_path"], -row["warc_offset"], pair)
        if len(self._heap) < self._number:
            heapq.heappush(self._heap, entry)
        elif entry[:3] > self._heap[0][:3]:
            heapq.heapreplace(self._heap, entry)

    def pairs(self) -> list[Pair]:
        """The sample, in the order of the hashes."""
        return [entry[3] for entry in sorted(self._heap, key=lambda entry: entry[:3], reverse=True)]

    def _hash(self, name: str) -> int:
        return int.from_bytes(blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, key=self._key).digest())


def _page(row: Mapping[str, Any]) -> Page:
    return Page(row["id"], row["url"], row["warc_path"], row["warc_offset"])


def _count(counts: collections.Counter[str], names: pa.ChunkedArray) -> None:
    for entry in names.value_counts().to_pylist():
        known = entry["values"] in counts or len(counts) < MAX_HOSTS
        counts[entry["values"] if known else ""] += entry["counts"]


def hosts(urls: pa.ChunkedArray) -> pa.ChunkedArray:
    """The host of each URL in lower case, or `(no host)`."""
    names = pc.struct_field(pc.extract_regex(pc.utf8_lower(urls.cast(pa.string())), _HOST), "host")
    return pc.if_else(pc.greater(pc.utf8_length(pc.fill_null(names, "")), 0), names, "(no host)")


def _describe(page: Page, size: int, removed: _RemovedSummary, members: list[Pair], texts: Texts) -> Cluster:
    hosts = removed.hosts[page.id]
    rest = hosts.pop("", 0)
    ranked = sorted(hosts.items(), key=lambda entry: (-entry[1], entry[0]))
    readable = [pair for pair in members if texts.pair_texts(pair)]
    shown = min(readable, key=lambda pair: (pair.exact or 0.0, pair.page.where)) if readable else None
    sides = texts.pair_texts(shown) if shown else None
    return Cluster(
        kept=page,
        size=size,
        hosts=tuple(ranked[:SHOWN_HOSTS]),
        other_hosts=max(0, len(ranked) - SHOWN_HOSTS) + (rest > 0),
        members=tuple(sorted(members, key=lambda pair: (pair.exact is None, pair.exact or 0.0, pair.page.where))),
        shown=shown.page.id if shown else None,
        difference=diff(*sides) if sides else None,
    )


def _precision(removed: _RemovedSummary, pairs: Sequence[Pair]) -> Precision:
    compared = [(pair.exact, pair.estimate) for pair in pairs if pair.exact is not None]
    exact = [jaccard for jaccard, _ in compared]
    estimated = [(jaccard, estimate) for jaccard, estimate in compared if estimate is not None]
    worst = sorted((pair for pair in pairs if pair.exact is not None), key=lambda pair: (pair.exact, pair.page.where))
    return Precision(
        pairs=removed.near,
        sampled=len(pairs),
        compared=len(exact),
        at_least=tuple((level, sum(jaccard >= level for jaccard in exact) / len(exact)) for level in LEVELS if exact),
        histogram=tuple(
            (f"{low:.1f} to {high:.1f}", sum(low <= jaccard < high or jaccard == high == 1 for jaccard in exact))
            for low, high in itertools.pairwise((0.0, *_EDGES, 1.0))
        ),
        mean=_mean(exact),
        mean_estimate=_mean([estimate for _, estimate in estimated]),
        mean_error=_mean([abs(jaccard - estimate) for jaccard, estimate in estimated]),
        worst=tuple(worst[:WORST]),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
