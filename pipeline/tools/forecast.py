"""What a build will cost and yield, from a small sample of its inputs that is really built.

    inputs -> stretches (sources/sampling.py) -> a build of them -> per stretch: bytes, records, documents, CPU, disk
           -> what one byte of input costs, times the bytes there are

The estimate is the ratio estimator (Cochran 1977, "Sampling Techniques", chapter 6): the sum over the sample divided by
its bytes, times all bytes; its error comes from how the stretches differ among each other.
"""

import dataclasses
import json
import math
import resource
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pipeline import flow
from pipeline.config import InputConfig, PipelineConfig, resolved_config
from pipeline.contract.config import build, fingerprint
from pipeline.contract.errors import ConfigError, InputError, UserError
from pipeline.contract.manifest import read_json, write_json
from pipeline.contract.run import RunRecord
from pipeline.dedup.plan import plan
from pipeline.engine.isolation import end_idle
from pipeline.engine.ledger import Commit, Ledger
from pipeline.engine.settings import RaySettings
from pipeline.sources.listing import Input, expand
from pipeline.sources.sampling import Stretch, take_sample
from pipeline.steps.extract import exact_copies
from pipeline.steps.registry import STEPS, owner_of
from pipeline.steps.run_differences import without_input
from pipeline.steps.tokenize.shards import SHARDS
from pipeline.tokens.shuffle import plan_shards
from pipeline.tools.schedule import schedule, split_by_size

WARM_UP = 30
"""Records built first and not counted: models are loaded once a worker, not once a sample."""
PER_INPUT = tuple(step.name for step in STEPS if step.task_per_input)
"""Steps with a task for each input, whose files and numbers are those of the input."""
BY_INPUT = (*(step.name for step in STEPS), exact_copies.DIGESTS)
"""Ledgers with a task for each input."""
DOLLARS_PER_CORE_HOUR = 0.04
"""On demand, without a commitment: AWS m7g.large, us-east-1, Linux, June 2026: 0.0816 an hour for two cores."""
FINAL = ("documents", "dropped", "quarantine", "tokens")
# Student's t, two-sided 90 %, by degrees of freedom from 1.
_T90 = (
    6.31,
    2.92,
    2.35,
    2.13,
    2.02,
    1.94,
    1.89,
    1.86,
    1.83,
    1.81,
    1.80,
    1.78,
    1.77,
    1.76,
    1.75,
    1.75,
    1.74,
    1.73,
    1.73,
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """An estimate and its 90 % band; the band is missing where one stretch says nothing about its error."""

    estimate: float
    low: float | None
    high: float | None

    def scaled(self, factor: float) -> "Range":
        """In another unit."""
        low, high = (None if end is None else end * factor for end in (self.low, self.high))
        return Range(estimate=self.estimate * factor, low=low, high=high)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """Of a whole build. Counts of documents and tokens are upper bounds where duplicates grow with the corpus."""

    inputs: int
    input_bytes: int
    sampled_records: int
    sampled_bytes: float
    stretches: int
    records: Range
    kept: Range
    tokens: Range
    core_hours: Range
    core_hours_by_step: Mapping[str, float]
    disk_bytes: Range
    """Of OUT without steps/."""
    steps_bytes: Range
    """Of OUT/steps."""
    worker_memory: int
    """Bytes one worker needs, its page process included, as the sample's did."""
    components_memory: int
    """Bytes that the one task needs which joins duplicates (it works on disk beyond its budget)."""
    workers: int
    hours: Range
    """On `workers` workers: no step is shorter than its longest task, nor takes more workers than it has tasks."""
    tasks: int
    """Of the step with the most: the most workers that have work at a time."""
    longest_task_hours: float
    dollars_per_core_hour: float
    dollars: Range
    """For the core-hours."""
    dollars_booked: Range
    """For all `workers` from the beginning to the end, idle or not."""
    config: str
    """Fingerprint of what the config says about the output, inputs aside."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _StretchCost:
    """What one stretch cost and yielded."""

    bytes: float
    records: int
    kept: int
    tokens: int
    cpu: float
    disk: int
    steps: int


def forecast(
    config: PipelineConfig,
    *,
    records: int = 2000,
    workers: int = 1,
    seed: int = 0,
    dollars_per_core_hour: float = DOLLARS_PER_CORE_HOUR,
) -> Forecast:
    """The forecast of building `config`, from about `records` records of its inputs, built in a temporary folder.

    Args:
        config: as for `flow.build`; its output is not touched.
        records: in the sample.
        workers: of the cluster to forecast the hours for.
        seed: of the sample.
        dollars_per_core_hour: what an hour of one core costs.

    Raises:
        UserError: as `flow.build`; nothing of the sample could be built.
    """
    source = config.input
    inputs = expand(source.paths, format=source.format, listing=source.listing, settings=config.run.remote)
    with tempfile.TemporaryDirectory(prefix="tokenmill-forecast-") as folder:
        root = Path(folder)
        for name in ("warm-up", "sample"):
            (root / name).mkdir()
        first = min(inputs, key=lambda item: item.bytes)
        warm_up = take_sample([first], WARM_UP, root / "warm-up", seed=seed, settings=config.run.remote)
        sample = take_sample(inputs, records, root / "sample", seed=seed, settings=config.run.remote)
        if not sample or not warm_up:
            raise InputError("input", "holds nothing to sample")
        _build(config, warm_up, root / "warm-up-out", warn=False)
        record = _build(config, sample, root / "out")
        return _forecast(config, inputs, sample, record, root / "out", workers, dollars_per_core_hour)


def save_forecast(result: Forecast, out: Path) -> None:
    """Keep a forecast in the run folder it is for, where the end of the run finds it."""
    try:
        _forecast_path(out).parent.mkdir(parents=True, exist_ok=True)
        write_json(_forecast_path(out), dataclasses.asdict(result))
    except OSError as error:
        raise UserError(str(out), f"cannot be written: {error.strerror}", hint="give another --output") from error


def load_forecast(out: Path) -> Forecast | None:
    """The forecast kept in a run folder; None if there is none that this version can read."""
    if not _forecast_path(out).is_file():
        return None
    try:
        return build(Forecast, read_json(_forecast_path(out)), str(_forecast_path(out)))
    except ConfigError:
        return None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ForecastLine:
    """One line of a forecast beside what came."""

    name: str
    forecast: Range
    actual: float

    @property
    def within(self) -> bool | None:
        """Whether it lies in the 90 % band; None where there is no band."""
        low, high = self.forecast.low, self.forecast.high
        return None if low is None or high is None else low <= self.actual <= high


def compare(out: Path, record: RunRecord) -> list[ForecastLine]:
    """The forecast kept in a run folder beside the finished run; empty where none was made for this config."""
    stored = load_forecast(out)
    if stored is None or stored.config != config_identity(record.config):
        return []
    totals = record.totals
    commits = [commit for folder in out.glob("steps/*/commits")
               for commit in Ledger(out, folder.parent.name).committed().values()]  # fmt: skip
    core_hours = sum(commit.cpu_seconds for commit in commits) / 3600
    disk = sum(entry.bytes for commit in commits for entry in commit.files if entry.path.split("/")[0] in FINAL)
    pairs = (("records", stored.records, totals.records), ("kept", stored.kept, totals.kept),
             ("tokens", stored.tokens, totals.tokens), ("core_hours", stored.core_hours, core_hours),
             ("disk_bytes", stored.disk_bytes, disk))  # fmt: skip
    return [ForecastLine(name=name, forecast=range_, actual=actual) for name, range_, actual in pairs]


def config_identity(config: Mapping[str, object]) -> str:
    """Equal for configs that ask for the same output of the same inputs."""
    return fingerprint(without_input({key: value for key, value in config.items() if key != "run"}))


def _forecast_path(out: Path) -> Path:
    return out / "logs" / "forecast.json"


def _build(config: PipelineConfig, sample: Sequence[Stretch], out: Path, *, warn: bool = True) -> RunRecord:
    paths = tuple(str(stretch.path) for stretch in sample)
    source: InputConfig = dataclasses.replace(config.input, paths=paths, listing=None, format="auto")
    if config.input.format != "auto":
        source = dataclasses.replace(source, format=config.input.format)
    run = dataclasses.replace(config.run, output=str(out), local=True, keep_steps=True, ray=RaySettings())
    return flow.build(dataclasses.replace(config, input=source, run=run), quiet=True, warn=warn)


def _forecast(
    config: PipelineConfig,
    inputs: Sequence[Input],
    sample: Sequence[Stretch],
    record: RunRecord,
    out: Path,
    workers: int,
    dollars: float,
) -> Forecast:
    total = sum(item.bytes for item in inputs)
    ledgers = _ledgers(out)
    costs = _measure(sample, record, ledgers)
    share = sum(cost.bytes for cost in costs) / total

    def total_of(value: Callable[[_StretchCost], float]) -> Range:
        return ratio_estimate([cost.bytes for cost in costs], [value(cost) for cost in costs], total)

    core_hours = total_of(lambda cost: cost.cpu).scaled(1 / 3600)
    documents = round(
        sum(commit.counts.get("kept", 0) for commit in Ledger(out, "filter").committed().values()) / share
    )
    budget = config.run.ray.memory_per_task or 1 << 30
    planned = plan(documents, config.dedup, budget) if config.dedup else None
    tokens = total_of(lambda cost: cost.tokens)
    shards = plan_shards(round(tokens.estimate), config.tokenize.tokens_per_shard)
    tasks = _tasks(ledgers, share, [item.bytes for item in inputs], len(shards), planned.partitions if planned else 1)
    timetable = schedule(tasks, workers)
    hours = core_hours.scaled(timetable.hours / core_hours.estimate if core_hours.estimate else 0)
    end_idle()
    memory = 1024 * sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return Forecast(
        inputs=len(inputs), input_bytes=total, sampled_records=record.totals.records, stretches=len(costs),
        sampled_bytes=share * total,
        records=total_of(lambda cost: cost.records), kept=total_of(lambda cost: cost.kept), tokens=tokens,
        core_hours=core_hours, disk_bytes=total_of(lambda cost: cost.disk),
        steps_bytes=total_of(lambda cost: cost.steps), core_hours_by_step=_by_step(tasks),
        worker_memory=memory, workers=workers, hours=hours,
        tasks=timetable.tasks, longest_task_hours=timetable.longest_task_hours, dollars_per_core_hour=dollars,
        dollars=core_hours.scaled(dollars), dollars_booked=hours.scaled(workers * dollars),
        components_memory=planned.components_memory if planned else 0,
        config=config_identity(resolved_config(config)),
    )  # fmt: skip


def _ledgers(out: Path) -> dict[str, Mapping[str, Commit]]:
    """The commits of the sample's build, by ledger."""
    names = sorted(folder.parent.name for folder in out.glob("steps/*/commits"))
    return {name: Ledger(out, name).committed() for name in names}


def _tasks(
    ledgers: Mapping[str, Mapping[str, Commit]], share: float, sizes: Sequence[float], shards: int, partitions: int
) -> dict[str, list[float]]:
    """Ledger -> core-hours of each task of the whole build, of which the sample is a `share`.

    Tasks of one input take what the input takes of all bytes; others are equal. Of those, there are as many as shards,
    or as in the sample, or as `partitions` for the memory of a task.
    """
    tasks = {}
    for name, commits in ledgers.items():
        hours = sum(commit.cpu_seconds for commit in commits.values()) / share / 3600
        number = shards if name == SHARDS else max(len(commits), partitions, 1)
        tasks[name] = split_by_size(hours, sizes if name in BY_INPUT else [1.0] * number)
    return tasks


def _by_step(tasks: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Core-hours by the step that a ledger belongs to."""
    by_step: dict[str, float] = {}
    for name, hours in tasks.items():
        step = owner_of(name).name
        by_step[step] = by_step.get(step, 0) + sum(hours)
    return dict(sorted(by_step.items()))


def _measure(
    sample: Sequence[Stretch], record: RunRecord, steps: Mapping[str, Mapping[str, Commit]]
) -> list[_StretchCost]:
    """What each stretch cost; what steps that work on all of them cost is shared out by documents."""
    numbers = {item.path: f"{number:05d}" for number, item in enumerate(record.inputs)}
    done_by_stretch: list[dict[str, Commit | None]] = [
        {name: steps[name].get(numbers[str(stretch.path)]) for name in PER_INPUT if name in steps} for stretch in sample
    ]
    cpu_seconds = sum(commit.cpu_seconds for commits in steps.values() for commit in commits.values())
    shared_cpu = cpu_seconds - sum(_cpu(commits) for commits in done_by_stretch)
    shared_files = [entry for name, commits in steps.items() if name not in PER_INPUT
                    for commit in commits.values() for entry in commit.files]  # fmt: skip
    weights = [max(1, _count(commits, "filter", "kept")) for commits in done_by_stretch]
    costs = []
    for stretch, done, weight in zip(sample, done_by_stretch, weights, strict=True):
        part = weight / sum(weights)
        entries: list[tuple[str, float]] = [
            (entry.path, entry.bytes) for commit in done.values() if commit for entry in commit.files
        ]
        entries += [(entry.path, entry.bytes * part) for entry in shared_files]
        final = sum(size for path, size in entries if path.split("/")[0] in FINAL)
        costs.append(_StretchCost(
            bytes=stretch.bytes, records=_count(done, "extract", "records"),
            kept=_count(done, "tokenize", "kept"), tokens=_count(done, "tokenize", "tokens"),
            cpu=_cpu(done) + shared_cpu * part, disk=round(final),
            steps=round(sum(size for _, size in entries) - final),
        ))  # fmt: skip
    return costs


def _cpu(commits: Mapping[str, Commit | None]) -> float:
    return sum(commit.cpu_seconds for commit in commits.values() if commit)


def _count(commits: Mapping[str, Commit | None], step: str, name: str) -> int:
    commit = commits.get(step)
    return commit.counts.get(name, 0) if commit else 0


def ratio_estimate(sizes: Sequence[float], values: Sequence[float], total: float) -> Range:
    """The ratio estimator of a total, with its 90 % band.

    Args:
        sizes: of the sampled units.
        values: of the same units.
        total: size of everything.
    """
    ratio, count, size = sum(values) / sum(sizes), len(sizes), sum(sizes)
    estimate = ratio * total
    if size >= total * (1 - 1e-9):
        return Range(estimate=estimate, low=estimate, high=estimate)
    if count < 2:
        return Range(estimate=estimate, low=None, high=None)
    spread = sum((value - ratio * own) ** 2 for own, value in zip(sizes, values, strict=True)) / (count - 1)
    error = math.sqrt((1 - size / total) * spread / count) / (size / count) * total
    t = _T90[min(count - 1, len(_T90)) - 1]
    return Range(estimate=estimate, low=max(0.0, estimate - t * error), high=estimate + t * error)


def as_json(result: Forecast) -> str:
    """One JSON object."""
    return json.dumps(dataclasses.asdict(result))
