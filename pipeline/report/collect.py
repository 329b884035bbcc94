"""What the report shows, gathered from a run folder.

Counts are exact: they come from the commits. Distributions and examples come from at most MAX_PARTS parts of each
table, evenly spread, so that the report of a whole crawl takes no longer to write than that of one file.
"""

import collections
import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.contract.run import RunRecord
from pipeline.contract.tables import read_table
from pipeline.engine.ledger import Commit, Ledger, add_counts
from pipeline.report.clusters import Clusters, find_clusters, hosts
from pipeline.report.contamination import ContaminationReport, collect_contamination
from pipeline.steps.registry import OPTIONAL, STEPS, Step

MAX_PARTS = 200
EXAMPLES = 5
TOP_CLUSTERS, MEMBERS, PAIRS = 10, 3, 200
_EXAMPLE_COLUMNS = ["step", "stage", "reason", "url", "value", "limit", "detail", "warc_path", "warc_offset"]
_DOCUMENT_COLUMNS = ["url", "dump", "language", "cluster_size", "pii_counts", "token_count"]
_LENGTH_EDGES = (0, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)


@dataclasses.dataclass(frozen=True, slots=True)
class FunnelStep:
    """What entered a step and what came of it."""

    name: str
    read: int
    kept: int
    dropped: int
    quarantined: int
    tasks: int


@dataclasses.dataclass(frozen=True, slots=True)
class Reason:
    """One reason documents left, with a few that did."""

    name: str
    documents: int
    examples: Sequence[Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class StageCost:
    """CPU time of one stage over the documents that reached its step."""

    name: str
    seconds: float
    documents: int

    @property
    def milliseconds(self) -> float:
        """Mean CPU ms per document that entered the step."""
        return 1000 * self.seconds / max(self.documents, 1)


@dataclasses.dataclass(frozen=True, slots=True)
class RemovedText:
    """What an optional step took out of documents that stayed."""

    step: str
    read: int
    changed: int
    pieces: Mapping[str, int]
    """`lines`, or `spans` and `words`."""
    characters: int
    characters_read: int


@dataclasses.dataclass(frozen=True, slots=True)
class ReportData:
    """Everything on the page."""

    record: RunRecord
    out: str
    funnel: Sequence[FunnelStep]
    taken_out: Sequence[RemovedText]
    """Empty for a run without such steps."""
    reasons: Sequence[Reason]
    languages: Sequence[tuple[str, int]]
    domains: Sequence[tuple[str, int]]
    lengths: Sequence[tuple[str, int]]
    clusters: Sequence[tuple[str, int]]
    pii: Sequence[tuple[str, int]]
    causes: Sequence[tuple[str, int]]
    quarantined: Sequence[Mapping[str, Any]]
    costs: Sequence[StageCost]
    samples: Sequence[Mapping[str, Any]]
    scope: str
    """Who was compared with whom, for people."""
    duplicates: Clusters | None
    """None for a run without dedup."""
    contamination: ContaminationReport | None
    """None for a run that looked for no benchmark items."""
    partial: bool
    """Whether distributions come from a sample of the parts."""


def collect(out: Path, record: RunRecord) -> ReportData:
    """Gather the report of a run that has committed its four steps."""
    commits = {step.name: done for step in STEPS if (done := Ledger(out, step.name).committed())}
    documents, partial = _sample(out / "documents", _DOCUMENT_COLUMNS)
    quarantine, _ = _sample(out / "quarantine", ["url", "stage", "cause", "seconds", "warc_path", "warc_offset"])
    rows = documents.to_pylist()
    pii: collections.Counter[str] = collections.Counter()
    for row in rows:
        pii.update({found["type"]: found["count"] for found in row["pii_counts"] or ()})
    return ReportData(
        record=record,
        out=out.name,
        funnel=[_funnel_step(step, done) for step, done in commits.items()],
        taken_out=[_removed_text(step, commits[step.name]) for step in OPTIONAL if step.name in commits],
        reasons=_reasons(out, record),
        languages=_most_common(row["language"] or "unknown" for row in rows),
        domains=_most_common(hosts(documents["url"]).to_pylist()),
        lengths=_histogram([row["token_count"] for row in rows]),
        clusters=cluster_sizes(sorted(collections.Counter(row["cluster_size"] for row in rows).items())),
        pii=pii.most_common(),
        causes=_most_common(row["cause"] for row in quarantine.to_pylist()),
        quarantined=quarantine.slice(0, 20).to_pylist(),
        costs=[
            *_copies_costs(out, commits.get("extract", {})),
            *(cost for step, done in commits.items() for cost in _costs(step, done)),
        ],
        samples=_sample_texts(out / "documents"),
        scope=_scope(record, collections.Counter(row["dump"] or "" for row in rows)),
        duplicates=_duplicates(out, record),
        contamination=collect_contamination(out, record),
        partial=partial,
    )


def _removed_text(step: Step, commits: Mapping[str, Commit]) -> RemovedText:
    counts = add_counts(commits)
    pieces = {name: counts[f"{name}_removed"] for name in step.signals if name != "characters"}
    return RemovedText(
        step.name, counts["read"], counts["changed"], pieces, counts["characters_removed"], counts["characters_read"]
    )


def _funnel_step(name: str, commits: Mapping[str, Commit]) -> FunnelStep:
    counts = add_counts(commits)
    dropped = sum(number for key, number in counts.items() if key.startswith("dropped."))
    get = counts.get
    return FunnelStep(name, get("read", 0), get("kept", 0), dropped, get("quarantined", 0), len(commits))


def _costs(step: str, commits: Mapping[str, Commit]) -> Iterator[StageCost]:
    seconds: collections.Counter[str] = collections.Counter()
    for commit in commits.values():
        seconds.update(commit.seconds)
    entered = add_counts(commits).get("read", 0)
    for name, value in sorted(seconds.items(), key=lambda item: -item[1]):
        yield StageCost(f"{step}.{name}", value, entered)


def _copies_costs(out: Path, extracted: Mapping[str, Commit]) -> Iterator[StageCost]:
    """What it cost to find exact copies before extraction, where the config asked for it."""
    entered = add_counts(extracted).get("read", 0)
    for step in ("extract-payloads", "extract-firsts"):
        done = Ledger(out, step).committed()
        if done:
            yield StageCost(step, sum(commit.seconds["total"] for commit in done.values()), entered)


def _reasons(out: Path, record: RunRecord) -> list[Reason]:
    examples: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
    for path in _spread(sorted((out / "dropped").glob("part-*.parquet"))):
        for row in read_table(path, columns=_EXAMPLE_COLUMNS).to_pylist():
            name = f"{row['step']}.{row['stage']}.{row['reason']}"
            if len(examples[name]) < EXAMPLES:
                examples[name].append(row)
    ranked = sorted(record.totals.dropped.items(), key=lambda item: (-item[1], item[0]))
    return [Reason(name, number, examples[name]) for name, number in ranked]


def _sample(folder: Path, columns: list[str]) -> tuple[pa.Table, bool]:
    paths = sorted(folder.glob("part-*.parquet"))
    chosen = _spread(paths)
    tables = [read_table(path, columns=columns) for path in chosen]
    return (pa.concat_tables(tables) if tables else pa.table({name: [] for name in columns})), len(chosen) < len(paths)


def _spread(paths: Sequence[Path]) -> list[Path]:
    """At most MAX_PARTS of the paths, evenly spread."""
    step = max(1, -(-len(paths) // MAX_PARTS))
    return list(paths[::step])


def _sample_texts(folder: Path, number: int = 8, characters: int = 600) -> list[dict[str, Any]]:
    """The beginnings of a few documents, from parts evenly spread."""
    paths = sorted(folder.glob("part-*.parquet"))
    found: list[dict[str, Any]] = []
    for path in paths[:: max(1, len(paths) // number)][:number]:
        rows = read_table(path, columns=["url", "text", "language", "token_count"])
        wanted = max(1, number // max(1, len(paths)))
        for row in rows.slice(0, wanted).to_pylist():
            found.append({**row, "text": row["text"][:characters], "more": len(row["text"]) > characters})
    return found


def _most_common(values: Iterator[str] | Any, number: int = 15) -> list[tuple[str, int]]:
    counter = collections.Counter(values)
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:number]


def _duplicates(out: Path, record: RunRecord) -> Clusters | None:
    if not record.config.get("dedup"):
        return None
    return find_clusters(out, top=TOP_CLUSTERS, members=MEMBERS, pairs=PAIRS, most_parts=MAX_PARTS, record=record)


def _scope(record: RunRecord, dumps: collections.Counter[str]) -> str:
    """Who was compared with whom; `dumps`: how many documents of each were kept, those of none under ''."""
    scope = (record.config.get("dedup") or {}).get("scope")
    if scope == "global":
        return "All documents were compared with each other (dedup.scope: global)."
    if scope == "language":
        return "Compared within one language (dedup.scope: language)."
    within, named = "Compared within one dump (dedup.scope: dump)", len(dumps.keys() - {""})
    if dumps[""] and not named:
        return (f"{within}. No document has the name of one (from its path, input.dump or a column), and so all were "
                "compared with each other, as with scope: global.")  # fmt: skip
    unnamed = f"; the documents without the name of one ({dumps['']:,} kept) were compared with each other"
    return f"{within}: {named:,} dump{'' if named == 1 else 's'}{unnamed if dumps[''] else ''}."


def _histogram(lengths: Sequence[int]) -> list[tuple[str, int]]:
    counts = [0] * len(_LENGTH_EDGES)
    for length in lengths:
        counts[max(i for i, edge in enumerate(_LENGTH_EDGES) if length >= edge)] += 1
    names = [f"{low:,}-{high:,}" for low, high in itertools.pairwise(_LENGTH_EDGES)]
    return list(zip([*names, f"{_LENGTH_EDGES[-1]:,}+"], counts, strict=True))


def cluster_sizes(sizes: Sequence[tuple[int, int]]) -> list[tuple[str, int]]:
    """(documents, clusters of so many) in a few ranges."""
    edges = ((1, 1), (2, 2), (3, 4), (5, 9), (10, 99), (100, 999), (1000, None))
    named = [
        (str(low) if low == high else f"{low:,}-{high:,}" if high else f"{low:,}+", low, high) for low, high in edges
    ]
    counts = [
        (name, sum(number for size, number in sizes if low <= size and (high is None or size <= high)))
        for name, low, high in named
    ]
    return counts[1:] if counts[0][1] == 0 else counts
