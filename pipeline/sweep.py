"""`tokenmill sweep`: what other limits of the quality rules would keep, from the raw values that a run stored.

No page is read again: step 2 keeps every rule's raw value for every document, kept or dropped, and a verdict follows
from those alone. Counts are of documents that pass step 2; duplicates among them still have to go.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import read_config
from pipeline.contract.errors import ConfigError, InputError, nearest
from pipeline.contract.keys import apply_overrides
from pipeline.contract.run import RunRecord
from pipeline.contract.tables import read_batches, read_table
from pipeline.document import QualityStage
from pipeline.engine.ledger import Commit, Ledger, add_counts
from pipeline.limits import limit_of
from pipeline.stages import name_of
from pipeline.steps import s1_extract, s2_filter, s4_tokenize

MEASURED = f"steps/{s2_filter.STEP}/measured"
MAX_DOCUMENTS = 500_000
"""Documents looked at; of a larger run, that many in whole parts, evenly spread."""
EXAMPLES = 3
EXCERPT = 160
_MOST_SETTINGS = 100
Signals = Mapping[str, Mapping[str, float]]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Flip:
    """A document whose verdict would change."""

    change: str
    """`gained` or `lost`."""
    id: str
    url: str
    values: Mapping[str, float]
    """The raw values that the swept limits look at."""
    excerpt: str
    """The beginning of its text as extracted; empty where step 1's documents were deleted."""


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
    settings: tuple[Setting, ...]


class _Row(NamedTuple):
    """A document of step 2."""

    part: str
    id: str
    url: str
    language: str
    signals: Signals
    kept: bool
    tokens: float


@dataclasses.dataclass(frozen=True, slots=True)
class _Part:
    """The commit of one part of step 2."""

    key: str
    kept: Path
    dropped: Path | None


def sweep(out: Path, grid: Sequence[str], *, examples: int = EXAMPLES) -> Sweep:
    """Judge the documents of a run again under other limits.

    Args:
        out: the run folder, with its steps.
        grid: one or two `filter.STAGE.LIMIT=value,value,...`; two make a grid.
        examples: flips to show for each point and direction.

    Raises:
        InputError: `out` is no run folder, or no longer holds what step 2 wrote.
        ConfigError: a key that is no limit of a stage with raw values, or an impossible value.
    """
    record = RunRecord.read(out)
    axes = [_values(argument) for argument in grid]
    if not 1 <= len(axes) <= 2:
        raise ConfigError("--set", f"a sweep has one or two limits, got {len(axes)}")
    points = [dict(zip([key for key, _ in axes], values, strict=True))
              for values in itertools.product(*(values for _, values in axes))]  # fmt: skip
    if len(points) > _MOST_SETTINGS:
        raise ConfigError("--set", f"{len(points)} settings are more than {_MOST_SETTINGS}")
    now = _stages(record, {}, "run.json")
    swept = [_swept(now, key) for key, _ in axes]
    parts, share = _parts(out)
    rows, per_word = _rows(out, parts, now, swept)
    settings = [_judge(out, record, point, now, swept, rows, examples) for point in points]
    commits = Ledger(out, s2_filter.STEP).committed()
    return Sweep(
        entered=add_counts({part.key: commits[part.key] for part in parts}).get("read", 0),
        share=share,
        tokens_per_word=per_word,
        not_rejudged=tuple(name for name, stage in now if not isinstance(stage, QualityStage)),
        settings=tuple(settings),
    )


def _values(argument: str) -> tuple[str, list[str]]:
    key, equals, values = argument.partition("=")
    if not equals or not values.strip() or not key.strip():
        raise ConfigError(f"--set {argument}", "expected KEY=VALUE,VALUE,...",
                          mend="example: --set filter.gopher_quality.min_words=30,50,80")  # fmt: skip
    return key.strip(), [value.strip() for value in values.strip().strip("[]").split(",")]


def _stages(record: RunRecord, point: Mapping[str, str], place: str) -> list[tuple[str, Any]]:
    """The stages of step 2 under the limits of a point, by name."""
    tree = {"filter": record.config["filter"], "run": {"stages_path": record.config["run"].get("stages_path")}}
    config = read_config(apply_overrides(tree, [f"{key}={value}" for key, value in point.items()]), place)
    return [(name_of(type(stage)), stage) for stage in config.filter]


class _Swept(NamedTuple):
    """A limit to sweep."""

    stage: str
    limit: str
    signal: str
    language: str = ""
    """Whose limit it is; empty: the limit of all languages that have none of their own."""

    def of(self, stages: Mapping[str, Any]) -> Any:
        """Its value in these stages."""
        return limit_of(stages[self.stage], self.limit, self.language)


def _swept(stages: Sequence[tuple[str, Any]], key: str) -> _Swept:
    """The stage and limit that a key names."""
    section, _, rest = key.partition(".")
    name, _, limit = rest.partition(".")
    if section != "filter" or not limit:
        raise ConfigError(f"--set {key}", "only limits of the stages under `filter` can be swept",
                          mend="example: filter.gopher_quality.min_words")  # fmt: skip
    quality = {name: stage for name, stage in stages if isinstance(stage, QualityStage)}
    if name.isdigit() and int(name) < len(stages):
        name = stages[int(name)][0]
    if name not in quality:
        problem = f"the run has no stage '{name}' that stored raw values"
        raise ConfigError(f"--set {key}", problem, known=sorted(quality), mend=nearest(name, quality))
    rules = {rule.limit: rule.signal for rule in getattr(quality[name], "RULES", ())}
    language = ""
    if limit.startswith("languages."):
        _, language, limit = (*limit.split(".", 2), "")[:3]
    if limit not in rules:
        problem = f"'{limit}' is no limit of '{name}' that follows from a stored value"
        raise ConfigError(f"--set {key}", problem, known=sorted(rules), mend=nearest(limit, rules))
    return _Swept(name, limit, rules[limit], language)


def _parts(out: Path) -> tuple[list[_Part], float]:
    """The parts of step 2 to look at, and their share of all."""
    commits = Ledger(out, s2_filter.STEP).committed()
    parts = [_part(out, commit) for commit in commits.values()]
    gone = [part.kept for part in parts if not part.kept.is_file()]
    if gone or not parts:
        problem = f"{gone[0]} is gone (run.keep_steps: false?)" if gone else "step 2 has not been run"
        raise InputError(str(out), problem, mend="build it again with run.keep_steps: true")
    documents = sum(commit.counts.get("read", 0) for commit in commits.values())
    wanted = max(1, min(len(parts), len(parts) * MAX_DOCUMENTS // max(documents, 1)))
    chosen = [parts[number * len(parts) // wanted] for number in range(wanted)]
    return chosen, wanted / len(parts)


def _part(out: Path, commit: Commit) -> _Part:
    kept, dropped = commit.file(s2_filter.FOLDER), commit.file(MEASURED)
    return _Part(commit.key, out / cast(Any, kept).path, out / dropped.path if dropped else None)


def _rows(
    out: Path, parts: Sequence[_Part], stages: Sequence[tuple[str, Any]], swept: Sequence[_Swept]
) -> tuple[list[_Row], float | None]:
    """Every document that some limit could keep: dropped ones whose other stages all pass, and all kept ones."""
    names = {limit.stage for limit in swept}
    quality = {name: stage for name, stage in stages if isinstance(stage, QualityStage)}
    others = {name: stage for name, stage in quality.items() if name not in names}
    counted = _token_counts(out, parts)
    per_word, mean = _token_rate(parts, counted, quality)
    rows = []
    for part in parts:
        for kept, path in ((True, part.kept), (False, part.dropped)):
            for row in _read(path, quality, names if kept else set(quality), kept=kept):
                signals = row.get("signals") or {}
                if not kept and (
                    row["stage"] not in quality
                    or _fails(others, signals, row["language"])
                    or not names <= _known(signals)
                ):
                    continue
                tokens = counted.get(row["id"]) or _estimate(signals, per_word, mean)
                rows.append(_Row(part.key, row["id"], row["url"], row["language"], signals, kept, tokens))
    return rows, per_word


def _read(path: Path | None, quality: Mapping[str, Any], names: set[str], *, kept: bool) -> Iterator[dict[str, Any]]:
    """Rows with the raw values of the stages in `names`, and of the words, by which tokens are estimated."""
    if path is None:
        return
    wanted = [f"signals.{name}" for name in sorted(names)]
    wanted += ["signals.gopher_quality.words"] if "gopher_quality" in quality else []
    columns = ["id", "url", "language", *wanted] if kept else ["id", "url", "language", "stage", *wanted]
    for batch in read_batches(path, columns):
        yield from batch.to_pylist()


def _known(signals: Signals) -> set[str]:
    return {name for name, values in signals.items() if values and None not in values.values()}


def _fails(stages: Mapping[str, Any], signals: Signals, language: str) -> bool:
    """Whether any of the stages drops a document (or never saw it)."""
    known = _known(signals)
    return any(name not in known or stage.judge(signals[name], language) is not None for name, stage in stages.items())


def _token_counts(out: Path, parts: Sequence[_Part]) -> dict[str, int]:
    """Tokens by document, of those that reached the shards."""
    commits = Ledger(out, s4_tokenize.STEP).committed()
    counts: dict[str, int] = {}
    for part in parts:
        entry = commits[part.key].file(s4_tokenize.FOLDER) if part.key in commits else None
        if entry:
            table = read_table(out / entry.path, columns=["id", "token_count"])
            counts |= dict(zip(table["id"].to_pylist(), table["token_count"].to_pylist(), strict=True))
    return counts


def _token_rate(
    parts: Sequence[_Part], counted: Mapping[str, int], quality: Mapping[str, Any]
) -> tuple[float | None, float]:
    """Tokens per word of the documents that were tokenized (None: words are not known), and their mean tokens."""
    mean = sum(counted.values()) / max(len(counted), 1)
    if "gopher_quality" not in quality or not counted:
        return None, mean
    words = tokens = 0.0
    for part in parts:
        for row in _read(part.kept, quality, set(), kept=True):
            if row["id"] in counted:
                words += row["signals"]["gopher_quality"]["words"]
                tokens += counted[row["id"]]
    return (tokens / words if words else None), mean


def _estimate(signals: Signals, per_word: float | None, mean: float) -> float:
    words = (signals.get("gopher_quality") or {}).get("words")
    return mean if per_word is None or words is None else per_word * words


def _judge(
    out: Path, record: RunRecord, point: Mapping[str, str], now: Sequence[tuple[str, Any]], swept: Sequence[_Swept],
    rows: Sequence[_Row], examples: int,
) -> Setting:  # fmt: skip
    """One point of the grid."""
    place = "--set " + " ".join(f"{key}={value}" for key, value in point.items())
    stages = dict(_stages(record, point, place))
    changed = {limit.stage: stages[limit.stage] for limit in swept}
    kept = [not _fails(changed, row.signals, row.language) for row in rows]
    gained = [row for row, keep in zip(rows, kept, strict=True) if keep and not row.kept]
    lost = [row for row, keep in zip(rows, kept, strict=True) if row.kept and not keep]
    return Setting(
        limits={key: limit.of(stages) for key, limit in zip(point, swept, strict=True)},
        current=all(limit.of(stages) == limit.of(dict(now)) for limit in swept),
        documents=sum(kept),
        tokens=round(sum(row.tokens for row, keep in zip(rows, kept, strict=True) if keep)),
        gained=len(gained),
        lost=len(lost),
        flips=tuple(itertools.chain(_flips(out, "gained", gained, swept, examples),
                                    _flips(out, "lost", lost, swept, examples))),
    )  # fmt: skip


def _flips(out: Path, change: str, rows: list[_Row], swept: Sequence[_Swept], most: int) -> Iterator[Flip]:
    """Examples from all over the range of the first swept value."""
    first = swept[0]
    rows = sorted(rows, key=lambda row: (row.signals[first.stage][first.signal], row.id))
    number = min(most, len(rows))
    for row in [rows[at * (len(rows) - 1) // max(number - 1, 1)] for at in range(number)]:
        values = {f"{limit.stage}.{limit.signal}": row.signals[limit.stage][limit.signal] for limit in swept}
        yield Flip(change=change, id=row.id, url=row.url, values=values, excerpt=_excerpt(out, row))


def _excerpt(out: Path, row: _Row) -> str:
    path = out / s1_extract.FOLDER / f"part-{row.part}.parquet"
    if not path.is_file():
        return ""
    for batch in read_batches(path, ["id", "text"], 256):
        found = batch.filter(pc.equal(batch["id"], pa.scalar(row.id)))
        if len(found):
            return " ".join(found["text"][0].as_py()[: 4 * EXCERPT].split())[:EXCERPT]
    return ""
