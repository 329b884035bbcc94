"""`tokenmill sweep`: what other limits of the quality rules would keep, from the raw values that a run stored.

No page is read again: step 2 keeps every rule's raw value for every document, kept or dropped, and a verdict follows
from those alone. Counts are of documents that pass step 2; duplicates among them still have to go.

Step 1 keeps the language and its score of every document, kept or dropped by `language_id`. Stricter language limits
take documents away that are known; laxer ones would let documents go on that no later rule has seen: those are counted
apart (`unjudged`).
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.contract.errors import ConfigError, InputError
from pipeline.contract.run import Publication, RunRecord
from pipeline.contract.tables import read_batches, read_table
from pipeline.document import QualityStage
from pipeline.engine.ledger import Commit, Ledger, add_counts
from pipeline.stages import name_of
from pipeline.stages.language_id import LanguageId
from pipeline.stages.language_prefilter import LanguagePrefilter
from pipeline.steps.registry import EXTRACT, FILTER, TOKENIZE
from pipeline.tools.sweep_axes import Axis, LanguageAxis, Row, RuleAxis, Signals, Stages, parse_axis, stages_of

MEASURED = f"steps/{FILTER.name}/measured"
MAX_DOCUMENTS = 500_000
"""Documents looked at; of a larger run, that many in whole parts, evenly spread."""
EXAMPLES = 3
EXCERPT = 160
_MAX_SETTINGS = 100
_LANGUAGE, _PREFILTERED = name_of(LanguageId), f"dropped.{name_of(LanguagePrefilter)}."


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Flip:
    """A document whose verdict would change."""

    change: str
    """`gained`, `lost` or `unjudged`."""
    id: str
    url: str
    language: str
    values: Mapping[str, float]
    """The raw values that the swept limits look at."""
    excerpt: str
    """The beginning of its text as extracted; empty where step 1 has not kept it."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One point of the grid."""

    limits: Mapping[str, Any]
    """Key -> value."""
    current: bool
    """Whether the run had these limits."""
    documents: int
    tokens: int
    gained: int
    """Documents kept by these limits and not by the run's."""
    lost: int
    unjudged: int
    """Documents that `language_id` dropped and would let go on; what later stages make of them is not known."""
    flips: tuple[Flip, ...]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Sweep:
    """What every point of the grid would keep."""

    entered: int
    """Documents that entered step 2, of the parts looked at."""
    share: float
    """Share of the parts looked at; 1: all, and the counts are exact."""
    tokens_per_word: float | None
    """How the tokens of documents that were never tokenized are estimated; None: by the mean of those that were."""
    not_rejudged: tuple[str, ...]
    """Stages of step 2 that keep no raw values: what they dropped stays dropped, and a gained document has yet to pass
    those that come after the stage that dropped it."""
    prefiltered: int | None
    """Pages that `language_prefilter` dropped before their language was identified; None where no language is swept."""
    settings: tuple[Setting, ...]


_Key = tuple[str, str, int]


@dataclasses.dataclass(frozen=True, slots=True)
class _Part:
    """The commit of one part of step 2."""

    key: str
    kept: Path
    dropped: Path | None
    """What step 2 dropped, with its raw values."""


def sweep(out: Path, grid: Sequence[str], *, examples: int = EXAMPLES) -> Sweep:
    """Judge the documents of a run again under other limits.

    Args:
        out: the run folder, with its steps.
        grid: one or two of what `sweep_axes` can move, `KEY=VALUE,VALUE,...`; two make a grid.
        examples: flips to show for each point and direction.

    Raises:
        InputError: `out` is no run folder, or no longer holds what step 2 wrote.
        ConfigError: a key that is no limit of a stage with raw values, or an impossible value.
    """
    record = RunRecord.read(out)
    if not 1 <= len(grid) <= 2:
        raise ConfigError("--set", f"a sweep has one or two limits, got {len(grid)}")
    axes = [parse_axis(argument, record) for argument in grid]
    if len({axis.key for axis in axes}) < len(axes):
        raise ConfigError(f"--set {axes[0].key}", "is given twice", hint="give all its values at once")
    points = [dict(zip([axis.key for axis in axes], values, strict=True))
              for values in itertools.product(*(axis.values for axis in axes))]  # fmt: skip
    if len(points) > _MAX_SETTINGS:
        raise ConfigError("--set", f"{len(points)} settings are more than {_MAX_SETTINGS}")
    job = _Job(out, record, axes, examples)
    parts, share = _parts(out)
    rows, per_word = _rows(job, parts)
    language_drops, prefiltered = _dropped_by_language(out, parts) if job.by_language else ([], None)
    settings = [_judge(job, point, rows, language_drops) for point in points]
    commits = Ledger(out, FILTER.name).committed()
    return Sweep(
        entered=add_counts({part.key: commits[part.key] for part in parts}).get("read", 0),
        share=share,
        tokens_per_word=per_word,
        not_rejudged=tuple(name for name, stage in job.current_stages.filter if not isinstance(stage, QualityStage)),
        prefiltered=prefiltered,
        settings=tuple(settings),
    )


class _Job:
    """What is swept in which run."""

    def __init__(self, out: Path, record: RunRecord, axes: Sequence[Axis], examples: int) -> None:
        self.out, self.axes, self.examples, self._record = out, axes, examples, record
        self.by_language = any(isinstance(axis, LanguageAxis) for axis in axes)
        self.names = {axis.stage for axis in axes if isinstance(axis, RuleAxis)}
        """Quality stages whose limits are swept."""
        self.current_stages = self.stages({}, "run.json")
        """The run's own stages."""

    def stages(self, point: Mapping[str, str], place: str) -> Stages:
        """The stages under the limits of a point."""
        return stages_of(self._record, point, place, extract=self.by_language)


def _parts(out: Path) -> tuple[list[_Part], float]:
    """The parts of step 2 to look at, and their share of all."""
    commits = Ledger(out, FILTER.name).committed()
    parts = [_part(out, commit) for commit in commits.values()]
    missing = [part.kept for part in parts if not part.kept.is_file()]
    if missing or not parts:
        raise _without_steps(out, missing)
    documents = sum(commit.counts.get("read", 0) for commit in commits.values())
    number_of_parts = max(1, min(len(parts), len(parts) * MAX_DOCUMENTS // max(documents, 1)))
    chosen = [parts[number * len(parts) // number_of_parts] for number in range(number_of_parts)]
    return chosen, number_of_parts / len(parts)


def _without_steps(out: Path, missing: Sequence[Path]) -> InputError:
    """What is missing, and where it can be had: a copy or a takedown never had the intermediate documents."""
    published = Publication.read(out)
    if published and published.left_out:
        return InputError(str(out), "was published without its intermediate documents, which a sweep reads",
                          hint="sweep the folder of the build, or publish it with --steps")  # fmt: skip
    problem = (
        f"{missing[0]} is gone (run.keep_steps: false, or a copy that `remove` made?)" if missing else "has no step 2"
    )
    return InputError(str(out), problem, hint="sweep the folder of the build, made with run.keep_steps: true")


def _part(out: Path, commit: Commit) -> _Part:
    kept, dropped = commit.file(FILTER.folder), commit.file(MEASURED)
    return _Part(commit.key, out / cast(Any, kept).path, out / dropped.path if dropped else None)


def _rows(job: _Job, parts: Sequence[_Part]) -> tuple[list[Row], float | None]:
    """Every document that some limit could keep: dropped ones whose other stages all pass, and all kept ones."""
    out, names, quality = job.out, job.names, job.current_stages.rules
    others = {name: stage for name, stage in quality.items() if name not in names}
    counted = _token_counts(out, parts)
    per_word, mean = _token_rate(parts, counted, quality)
    rows = []
    for part in parts:
        scores = _scores(out, part.key) if job.by_language else {}
        for kept, path in ((True, part.kept), (False, part.dropped)):
            for row in _read(path, quality, names if kept else set(quality), kept=kept):
                signals = row.get("signals") or {}
                if not kept and (
                    row["stage"] not in quality
                    or _fails(others, signals, row["language"])
                    or not names <= _known(signals)
                ):
                    continue
                tokens = counted.get(_key(part.key, row)) or _estimate(signals, per_word, mean)
                score = scores.get(_key(part.key, row), 0.0)
                rows.append(Row(part.key, row["id"], row["url"], row["language"], score, signals, kept, tokens))
    return rows, per_word


def _key(part: str, row: Mapping[str, Any]) -> _Key:
    """What tells documents apart: rows of tables may have ids of their own, and one id more than once."""
    return part, row["id"], row["warc_offset"]


def _scores(out: Path, part: str) -> dict[_Key, float]:
    """The language scores of the documents that step 1 kept."""
    batches = read_batches(_extracted(out, part), ["id", "warc_offset", "language_score"])
    return {_key(part, row): row["language_score"] for batch in batches for row in batch.to_pylist()}


def _extracted(out: Path, part: str) -> Path:
    return out / EXTRACT.folder / f"part-{part}.parquet"


def _dropped_by_language(out: Path, parts: Sequence[_Part]) -> tuple[list[Row], int]:
    """The documents that `language_id` dropped, and how many pages `language_prefilter` dropped before it."""
    rows, prefiltered = [], 0
    commits = Ledger(out, EXTRACT.name).committed()
    for part in parts:
        counts = commits[part.key].counts
        prefiltered += sum(number for name, number in counts.items() if name.startswith(_PREFILTERED))
        entry = commits[part.key].file("dropped")
        for batch in read_batches(out / entry.path, ["id", "url", "stage", "detail", "value"]) if entry else ():
            for row in batch.filter(pc.equal(batch["stage"], _LANGUAGE)).to_pylist():
                rows.append(Row(part.key, row["id"], row["url"], row["detail"] or "", row["value"], {}, False, 0.0))
    return rows, prefiltered


def _read(path: Path | None, quality: Mapping[str, Any], names: set[str], *, kept: bool) -> Iterator[dict[str, Any]]:
    """Rows with the raw values of the stages in `names`, and of the words, by which tokens are estimated."""
    if path is None:
        return
    wanted = [f"signals.{name}" for name in sorted(names)]
    wanted += ["signals.gopher_quality.words"] if "gopher_quality" in quality else []
    columns = ["id", "url", "language", "warc_offset", *wanted, *([] if kept else ["stage"])]
    for batch in read_batches(path, columns):
        yield from batch.to_pylist()


def _known(signals: Signals) -> set[str]:
    return {name for name, values in signals.items() if values and None not in values.values()}


def _fails(stages: Mapping[str, Any], signals: Signals, language: str) -> bool:
    """Whether any of the stages drops a document (or never saw it)."""
    known = _known(signals)
    return any(name not in known or stage.judge(signals[name], language) is not None for name, stage in stages.items())


def _token_counts(out: Path, parts: Sequence[_Part]) -> dict[_Key, int]:
    """Tokens by document, of those that reached the shards."""
    commits = Ledger(out, TOKENIZE.name).committed()
    counts: dict[_Key, int] = {}
    for part in parts:
        entry = commits[part.key].file(TOKENIZE.folder) if part.key in commits else None
        if entry:
            rows = read_table(out / entry.path, columns=["id", "warc_offset", "token_count"]).to_pylist()
            counts |= {_key(part.key, row): row["token_count"] for row in rows}
    return counts


def _token_rate(
    parts: Sequence[_Part], counted: Mapping[_Key, int], quality: Mapping[str, Any]
) -> tuple[float | None, float]:
    """Tokens per word of the documents that were tokenized (None: words are not known), and their mean tokens."""
    mean = sum(counted.values()) / max(len(counted), 1)
    if "gopher_quality" not in quality or not counted:
        return None, mean
    words = tokens = 0.0
    for part in parts:
        for row in _read(part.kept, quality, set(), kept=True):
            known = counted.get(_key(part.key, row))
            if known is not None:
                words += row["signals"]["gopher_quality"]["words"]
                tokens += known
    return (tokens / words if words else None), mean


def _estimate(signals: Signals, per_word: float | None, mean: float) -> float:
    words = (signals.get("gopher_quality") or {}).get("words")
    return mean if per_word is None or words is None else per_word * words


def _judge(job: _Job, point: Mapping[str, str], rows: Sequence[Row], language_drops: Sequence[Row]) -> Setting:
    """One point of the grid."""
    place = "--set " + " ".join(f"{key}={value}" for key, value in point.items())
    stages = job.stages(point, place)
    changed = {name: stages.rules[name] for name in job.names}
    kept = [_passes_language(stages, row) and not _fails(changed, row.signals, row.language) for row in rows]
    gained = [row for row, keep in zip(rows, kept, strict=True) if keep and not row.kept]
    lost = [row for row, keep in zip(rows, kept, strict=True) if row.kept and not keep]
    unjudged = [row for row in language_drops if _passes_language(stages, row)]
    return Setting(
        limits={axis.key: axis.value_in(stages) for axis in job.axes},
        current=all(axis.value_in(stages) == axis.value_in(job.current_stages) for axis in job.axes),
        documents=sum(kept),
        tokens=round(sum(row.tokens for row, keep in zip(rows, kept, strict=True) if keep)),
        gained=len(gained),
        lost=len(lost),
        unjudged=len(unjudged),
        flips=(*_flips(job, "gained", gained, job.axes), *_flips(job, "lost", lost, job.axes),
               *_flips(job, "unjudged", unjudged, [axis for axis in job.axes if isinstance(axis, LanguageAxis)])),
    )  # fmt: skip


def _passes_language(stages: Stages, row: Row) -> bool:
    """Whether a document is in a language that goes on; all are where no language limit is swept."""
    return stages.language is None or stages.language.verdict(row.language, row.score) is None


def _flips(job: _Job, change: str, rows: list[Row], axes: Sequence[Axis]) -> Iterator[Flip]:
    """Examples from all over the range of the first swept value."""
    rows = sorted(rows, key=lambda row: (axes[0].value(row), row.id))
    number = min(job.examples, len(rows))
    for row in [rows[at * (len(rows) - 1) // max(number - 1, 1)] for at in range(number)]:
        values = {axis.label: axis.value(row) for axis in axes}
        yield Flip(change=change, id=row.id, url=row.url, language=row.language, values=values,
                   excerpt=_excerpt(job.out, row))  # fmt: skip


def _excerpt(out: Path, row: Row) -> str:
    path = _extracted(out, row.part)
    if not path.is_file():
        return ""
    for batch in read_batches(path, ["id", "text"], 256):
        found = batch.filter(pc.equal(batch["id"], pa.scalar(row.id)))
        if len(found):
            return " ".join(found["text"][0].as_py()[: 4 * EXCERPT].split())[:EXCERPT]
    return ""
