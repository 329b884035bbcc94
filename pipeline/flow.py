"""The main path: a config becomes a run folder.

    build
    ├── identify  refuse what does not fit an existing folder; write run.json
    ├── reuse     if asked: take over the steps that a previous run has done already
    ├── extract   s1: inputs -> documents
    ├── filter    s2: documents -> documents
    ├── dedup     s3: documents -> documents
    ├── line_dedup, substring_dedup  if asked: documents -> documents, without text that stands elsewhere
    ├── tokenize  s4: documents -> OUT/documents, OUT/tokens
    ├── index     signatures of OUT/documents, for later runs to be compared with (`dedup.previous_runs`)
    ├── contamination  if asked: which benchmark items stand on which pages -> OUT/contamination
    └── finish    add up, check that nothing was lost, write run.json and report.html

Every step skips what it has committed before, so to resume is to build again.
"""

import contextlib
import dataclasses
import fcntl
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

import pipeline.text.features
from pipeline.config import PipelineConfig
from pipeline.contract.errors import ConfigError, IntegrityError, UserError
from pipeline.contract.run import RunRecord, Totals
from pipeline.dedup.keep import check_keep
from pipeline.document import prepare
from pipeline.engine.ledger import Ledger, add_counts
from pipeline.engine.progress import open_progress
from pipeline.engine.repair import UnreadableFile, forget_damaged
from pipeline.engine.runner import open_runner
from pipeline.engine.stopping import stoppable
from pipeline.identity import identify_run, utc_now
from pipeline.report import write_report
from pipeline.sources.listing import Input, expand
from pipeline.steps import contamination
from pipeline.steps.context import Commits, Context, Part, parts_in
from pipeline.steps.dedup import index as kept_index
from pipeline.steps.dedup import step as dedup_step
from pipeline.steps.dedup.matches import PreviousRunGroup
from pipeline.steps.dedup.previous_runs import open_previous_runs, refuse_damaged
from pipeline.steps.extract import step as extract_step
from pipeline.steps.extract.reading import Reading
from pipeline.steps.filter import step as filter_step
from pipeline.steps.registry import DEDUP, EXTRACT, FILTER, OPTIONAL, STEPS, TOKENIZE
from pipeline.steps.reuse import plan_reuse, take_over
from pipeline.steps.tables import DROPPED_SCHEMA, QUARANTINE_SCHEMA, signals_type, write_empty_part
from pipeline.steps.tokenize import step as tokenize_step
from pipeline.steps.tokenize.tokenizer import tokenizer_for
from pipeline.tokens.tokenizer import load_tokenizer

_MAX_REPAIRS = 5  # a disk that damages more files while one run is under way should be replaced, not worked around


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class BuildInputs:
    """What a build reads, looked at before anything is computed."""

    out: Path
    inputs: Sequence[Input]
    previous: Sequence[PreviousRunGroup]
    """Documents of previous runs (`dedup.previous_runs`)."""


def build(config: PipelineConfig, *, quiet: bool = False, warn: bool = True, reuse: Path | None = None) -> RunRecord:
    """Run a build to its end, going on from whatever an earlier run of it committed.

    Args:
        config: what to build.
        quiet: no progress.
        warn: say on stderr what of the config may not be meant so; `run.json`, the log and the report say it anyway.
        reuse: folder of another run, of which every step, or input of a step, that cannot differ here is taken over.

    Raises:
        UserError: something in the config, the inputs or the folder has to be fixed first.
        IntegrityError: records were lost or doubled.
    """
    opened = _check_inputs(config)
    out = opened.out
    with _lock_folder(out):
        known = RunRecord.read(reuse).inputs if reuse else ()
        record = identify_run(config, out, opened.inputs, known)
        if record.state == "done":
            return record
        for line in record.warnings if warn else ():
            print(f"warning: {line}", file=sys.stderr)
        plan = plan_reuse(reuse, out, record) if reuse else None
        record.write(out)
        try:
            if plan:
                take_over(plan, out)
                if not quiet:
                    print(plan.describe(), file=sys.stderr)
            with (
                stoppable(out) as listen,
                open_runner(config.run) as runner,
                open_progress(quiet, out / "logs" / "build.log", record.warnings) as progress,
            ):
                listen()
                context = Context(
                    out=out,
                    settings=config.run,
                    runner=runner,
                    progress=progress,
                    code=record.sources,
                    inputs=record.inputs,
                )
                commits = _steps_with_repair(config, opened, context)
            return _finish(config, out, record, commits)
        except BaseException as error:
            dataclasses.replace(record, state="failed", error=f"{type(error).__name__}: {error}").write(out)
            raise


def _check_inputs(config: PipelineConfig) -> BuildInputs:
    """Whatever can be known to be wrong is refused here, before anything is computed."""
    if not config.run.output:
        raise ConfigError("run.output", "no run folder is given", hint="add --output OUT")
    if config.dedup:
        check_keep(config.dedup.keep, signals_type((*config.extract, *config.filter)))
    out = Path(config.run.output)
    previous = open_previous_runs(config.dedup, dump=config.input.dump, out=out) if config.dedup else ()
    source = config.input
    inputs = expand(source.paths, format=source.format, listing=source.listing, settings=config.run.remote,
                    output=config.run.output)  # fmt: skip
    tokenize = config.tokenize
    if tokenize.tokenizer:
        load_tokenizer(tokenize.tokenizer, tokenize.end_of_text)
    elif tokenize.train_tokenizer is None:
        hint = "add --set tokenize.tokenizer=PATH/tokenizer.json, or train_tokenizer: {vocabulary_size: 32768}"
        raise ConfigError("tokenize.tokenizer", "no tokenizer is given", hint=hint)
    for stage in (*config.extract, *config.filter, *tokenize.stages):
        prepare(stage)
    pipeline.text.features.prepare()
    return BuildInputs(out=out.absolute(), inputs=inputs, previous=previous)


def _steps_with_repair(config: PipelineConfig, opened: BuildInputs, context: Context) -> dict[str, Commits]:
    """The steps; where one meets a damaged file of an earlier one, that file is made anew and the step goes on."""
    for _ in range(_MAX_REPAIRS):
        try:
            return _steps(config, opened, context)
        except (UnreadableFile, pa.ArrowException):
            if not forget_damaged(context.runner, context.out, lambda line: print(line, file=sys.stderr)):
                raise
    return _steps(config, opened, context)


def _steps(config: PipelineConfig, opened: BuildInputs, context: Context) -> dict[str, Commits]:
    """The steps; each takes the parts that the one before committed."""
    out = context.out

    reading = Reading(dump=config.input.dump, columns=config.input.columns, remote=config.run.remote)
    extracted = extract_step.run(context, opened.inputs, reading, config.screen, config.extract)
    parts = parts_in(out, extracted.values(), EXTRACT.folder)

    signals = signals_type((*config.extract, *config.filter))
    filtered = filter_step.run(context, parts, config.filter, signals)
    parts = parts_in(out, filtered.values(), FILTER.folder)

    signed = parts
    refuse_damaged(context.runner, opened.previous)
    deduped = dedup_step.run(context, parts, config.dedup, signals, opened.previous)
    parts = parts_in(out, deduped.values(), DEDUP.folder)

    optional, parts, counted = _optional_steps(config, context, parts)
    encoding = tokenize_step.Encoding(
        tokenizer=tokenizer_for(config.tokenize, out, parts, config.seed),
        end_of_text=config.tokenize.end_of_text,
        seed=config.seed,
        tokens_per_shard=config.tokenize.tokens_per_shard,
        rehydrate=config.tokenize.rehydrate,
    )
    signals = signals_type((*config.extract, *config.filter, *config.tokenize.stages), counted)
    tokenized = tokenize_step.run(context, parts, config.tokenize.stages, signals, encoding)
    if config.dedup and config.run.keep_index:
        kept_index.run(context, signed, parts_in(out, tokenized.values(), TOKENIZE.folder))
    commits = {EXTRACT.name: extracted, FILTER.name: filtered, DEDUP.name: deduped, **optional,
               TOKENIZE.name: tokenized}  # fmt: skip
    contamination.run(context, commits, (*config.extract, *config.filter, *config.tokenize.stages))
    return commits


def _optional_steps(
    config: PipelineConfig, context: Context, parts: Sequence[Part]
) -> tuple[dict[str, Commits], list[Part], dict[str, Sequence[str]]]:
    """The optional steps that the config asks for: their commits, the parts after them, and what they count."""
    commits: dict[str, Commits] = {}
    counted: dict[str, Sequence[str]] = {}
    for step in OPTIONAL:
        section = config.optional.get(step.name)
        if section is None:
            continue
        counted[step.stage] = step.signals
        signals = signals_type((*config.extract, *config.filter), counted)
        commits[step.name] = step.run(context, parts, section, signals)
        parts = parts_in(context.out, commits[step.name].values(), step.folder)
    return commits, list(parts), counted


def _finish(config: PipelineConfig, out: Path, record: RunRecord, commits: Mapping[str, Commits]) -> RunRecord:
    totals = add_up(commits)
    if not totals.balanced:
        dropped = sum(totals.dropped.values())
        raise IntegrityError(
            f"{totals.read} records read, but {totals.kept} kept + {dropped} dropped + {totals.quarantined} quarantined"
        )
    for folder, schema in (("dropped", DROPPED_SCHEMA), ("quarantine", QUARANTINE_SCHEMA)):
        write_empty_part(out / folder, schema)
    _sweep(out, keep_steps=config.run.keep_steps, keep_index=config.run.keep_index)
    record = dataclasses.replace(record, state="done", totals=totals, finished=utc_now(), error=None)
    write_report(out, record)
    record.write(out)
    return record


def add_up(commits: Mapping[str, Commits]) -> Totals:
    """The totals of a run from the commits of its steps."""
    counts = {step: add_counts(done) for step, done in commits.items()}
    first, last = counts[EXTRACT.name], counts[TOKENIZE.name]
    dropped = {
        f"{step}.{name.removeprefix('dropped.')}": number
        for step, numbers in counts.items()
        for name, number in numbers.items()
        if name.startswith("dropped.")
    }
    return Totals(
        records=first.get("records", 0),
        read=first.get("read", 0),
        kept=last.get("kept", 0),
        quarantined=sum(numbers.get("quarantined", 0) for numbers in counts.values()),
        tokens=last.get("tokens", 0),
        repeats=last.get("repeats", 0),
        dropped=dict(sorted(dropped.items())),
        gaps={name.removeprefix("gaps."): number for name, number in first.items() if name.startswith("gaps.")},
    )


def read_commits(out: Path) -> dict[str, Commits]:
    """The commits of the steps of a run folder, without the optional ones it has not taken."""
    found = {step: Ledger(out, step.name).committed() for step in STEPS}
    return {step.name: commits for step, commits in found.items() if commits or not step.optional}


def _sweep(out: Path, *, keep_steps: bool, keep_index: bool) -> None:
    """Remove what killed attempts left behind and, if so configured, the intermediate documents."""
    for path in out.rglob(".*.tmp"):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if not keep_steps:
        for folder in (out / "steps").glob("*/*"):
            # Beside the folders lies tasks.json.
            if (
                folder.is_dir()
                and folder.name != "commits"
                and not (keep_index and folder.parent.name == kept_index.STEP)
            ):
                shutil.rmtree(folder)


@contextlib.contextmanager
def _lock_folder(out: Path) -> Iterator[None]:
    """Two builds of one folder would do each other's work; the kernel frees the lock of a killed one."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / ".lock").open("w")
    except OSError as error:
        raise UserError(str(out), f"cannot be written: {error.strerror}", hint="give another --output") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                str(out), "another build is running in this folder", hint="wait for it, or stop it"
            ) from error
        yield
