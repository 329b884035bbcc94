"""The life of a run, the same for every kind of training.

    config -> Run -> its newest checkpoint, or first weights -> the loop -> saved and done, or saved and stopped

A kind of training (`pretrain.py`, `sft.py`) is a function from its config to a `Run`. To resume a run, give the same
command: a run whose identity (what decides what is learned) has changed is refused.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.contract.config import differences
from pipeline.contract.errors import ConfigError, Stopped, TokenmillError
from pipeline.contract.yaml_text import Tree
from training import checkpoint, parallel
from training.checkpoint import Checkpoint, Progress
from training.config import CheckpointConfig, ModelConfig, OptimizerConfig, ParallelConfig, RunConfig
from training.data.batches import BatchSource
from training.loop import Job, Outcome, Sample, Validate, fit
from training.losses import HeadLoss
from training.model.optimizers import Optimizers, build_optimizers
from training.model.transformer import Transformer
from training.runtime import distributed
from training.runtime.distributed import World
from training.runtime.launch import process_count, run_processes
from training.runtime.logs import Logs, NoLogs, RunLogs
from training.runtime.stopping import SIGNALS, reports_the_end, stopped_by_signal


class CommonConfig(Protocol):
    """The sections that the config of every kind of training has."""

    @property
    def optimizer(self) -> OptimizerConfig: ...
    @property
    def parallel(self) -> ParallelConfig: ...
    @property
    def checkpoint(self) -> CheckpointConfig: ...
    @property
    def run(self) -> RunConfig: ...
    @property
    def seed(self) -> int: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A run whose inputs were opened and checked: what one kind of training brings to what all have in common."""

    kind: str
    """Names the kind in checkpoints."""
    config: CommonConfig
    resolved: Tree
    """The resolved config, as checkpoints have it, with the `model` section."""
    provenance: Tree
    """What the run is made from; see `Checkpoint`."""
    identity: Callable[[Tree, Tree], Tree]
    """From a checkpoint's config and provenance to the part that decides what is learned."""
    changed_hint: str
    """What to do about an identity that changed."""
    model: ModelConfig
    tokenizer: bytes
    """Content of tokenizer.json."""
    checkpoint_files: Mapping[str, bytes]
    """More small files for each checkpoint, by name."""
    steps: int
    source: Callable[[World], BatchSource]
    """The training data, for one process."""
    flops_per_token: float
    """Per supervised token."""
    initialize: Callable[[Transformer], None]
    """Change a new model (sharded; every process calls it) to what the run starts from."""
    start: str
    """What that is, for people."""
    head_losses: HeadLoss | None
    """The output head's loss. None: the model's own."""
    describe: Callable[[World, str], str]
    """One line about what is about to happen, from the processes and from where to where the run goes."""
    write_facts: Callable[[Path], None] | None
    """Write what is known of the data into the output folder, before the first step."""
    validate: Callable[[Transformer, World], Validate] | None
    validate_every: int | None
    sample: Callable[[Transformer, World, Logs], Sample] | None

    @property
    def output(self) -> Path:
        """The run's folder."""
        return Path(self.config.run.output)

    @property
    def checkpoints(self) -> Path:
        """The folder of its checkpoints."""
        return self.output / "checkpoints"


def train(run: Run, world: World) -> Outcome:
    """Train to the end, or until a signal; every process calls it.

    Raises:
        UserError: a checkpoint that does not fit the config.
        TokenmillError: see `loop.fit`.
    """
    found = resume_point(run, check_hashes=world.main)
    model = parallel.parallelize(run.model, run.config.parallel, world, run.config.seed)
    if run.head_losses is not None:
        model.head_losses = run.head_losses
    optimizers = build_optimizers(model, run.config.optimizer)
    progress = Progress()
    if found is None:
        run.initialize(model)
    else:
        checkpoint.load_tensors(found.path, checkpoint.model_tensors(model) | optimizers.tensors())
        progress = found.progress
    logs = _open_logs(run, progress) if world.main else NoLogs()
    try:
        logs.say(run.describe(world, _from_to(progress.step, run.steps, run.start)))
        return fit(_job(run, world, model, optimizers, logs), progress)
    finally:
        logs.close()


def resume_point(run: Run, *, check_hashes: bool) -> Checkpoint | None:
    """The newest checkpoint of this very run; None when there is none yet.

    Raises:
        ConfigError: the folder is a build's, or holds another run's checkpoints, or any and `run.resume` is false.
        InputError, IntegrityError: the newest checkpoint is damaged.
    """
    if (run.output / "run.json").is_file():
        raise ConfigError("run.output", f"{run.output} is the run folder of a build", hint="give another folder")
    if not checkpoint.list_checkpoints(run.checkpoints):
        return None
    if not run.config.run.resume:
        problem = f"{run.output} holds checkpoints, and run.resume is false"
        raise ConfigError("run.output", problem, hint="give an empty folder, or set run.resume=true")
    found = checkpoint.read(run.checkpoints, check_hashes=check_hashes)
    if found.kind != run.kind:
        raise ConfigError("run.output", f"{run.output} holds checkpoints of a {found.kind} run")
    changed = differences(run.identity(found.config, found.provenance), run.identity(run.resolved, run.provenance))
    if changed:
        problem = f"{found.path} was trained with another config: {'; '.join(changed)}"
        raise ConfigError("run.output", problem, hint=run.changed_hint)
    return found


def _open_logs(run: Run, progress: Progress) -> RunLogs:
    """The logs of the main process, which alone writes to the output folder from here on."""
    logs = RunLogs(run.output, first=progress.step, steps=run.steps, tensorboard=run.config.run.tensorboard)
    checkpoint.clean_up(run.checkpoints, keep=None)
    if run.write_facts is not None:
        run.write_facts(run.output)
    return logs


def _job(run: Run, world: World, model: Transformer, optimizers: Optimizers, logs: Logs) -> Job:
    """The loop's job."""
    config = run.config

    def save(progress: Progress) -> None:
        checkpoint.save(
            run.checkpoints, checkpoint.model_tensors(model) | optimizers.tensors(), progress, world=world,
            kind=run.kind, config=run.resolved, tokenizer=run.tokenizer, provenance=run.provenance,
            files=run.checkpoint_files,
        )  # fmt: skip
        if world.main:
            checkpoint.clean_up(run.checkpoints, keep=config.checkpoint.keep, keep_every=config.checkpoint.keep_every)

    return Job(
        model=model, optimizers=optimizers, source=run.source(world), world=world, logs=logs, steps=run.steps,
        optimizer=config.optimizer, parallel=config.parallel, checkpoint=config.checkpoint, run=config.run,
        flops_per_token=run.flops_per_token, save=save,
        validate=None if run.validate is None else run.validate(model, world), validate_every=run.validate_every,
        sample=None if run.sample is None else run.sample(model, world, logs),
    )  # fmt: skip


def _from_to(step: int, steps: int, start: str) -> str:
    """From where to where a run goes, for people."""
    if step >= steps:
        return f"all {steps} steps are done already, so nothing is left to do"
    return f"from {f'step {step}' if step else start} to {steps}"


def _stopped(run: Run, number: int) -> Stopped:
    """The end of a run by a signal."""
    return stopped_by_signal(number, checkpoint.list_checkpoints(run.checkpoints), run.steps)


OpenRun = Callable[[str | Path, Sequence[str]], Run]
"""From a YAML file and `a.b=value` overrides to a run.

Raises:
    UserError: the config or an input is not as it should be.
"""


def launch(open_run: OpenRun, module: str, config_path: str | Path, overrides: Sequence[str], nproc: int | None) -> int:
    """Train with several processes on this machine; returns the exit code.

    Config and inputs are checked here first, so that a mistake is said once and before anything starts.

    Args:
        module: what the processes run, as `python -m MODULE CONFIG`.
        nproc: processes. None: one for each GPU, or one.

    Raises:
        UserError: what `open_run` raises, or an impossible `nproc`.
        Stopped: a signal ended the run.
    """
    run = open_run(config_path, overrides)
    resume_point(run, check_hashes=False)
    arguments = [str(config_path), *(word for override in overrides for word in ("--set", override))]
    code = run_processes(["-m", module, *arguments], process_count(nproc, run.config.parallel.device))
    if code - 128 in SIGNALS:
        raise _stopped(run, code - 128)
    return code


def main(open_run: OpenRun, module: str, description: str, arguments: Sequence[str] | None) -> int:
    """One process's command; returns its exit code: 0 done, 2 the user's mistake, 1 anything else, 128 + n ended by
    signal n."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("config", help="a YAML file, as in configs/training/")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key, as a.b=value")
    options = parser.parse_args(arguments)
    try:
        run = open_run(options.config, options.set)
        outcome = train(run, distributed.initialize(run.config.parallel))
        if outcome.signal is not None:
            raise _stopped(run, outcome.signal)
    except Stopped as error:
        if reports_the_end():
            print(f"stopped by {error}", file=sys.stderr)
        return error.exit_code
    except TokenmillError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    return 0
