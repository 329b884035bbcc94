"""The training loop, for pretraining and fine-tuning alike.

One step: take this process's micro-batches, add up gradients of the summed loss divided by the number of supervised
tokens in the whole step on all processes, clip, update. Dividing by that one number, known before the first backward
pass, makes the result the same for any split into micro-batches and processes; a mean of means would not be.
"""

import dataclasses
import math
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pipeline.contract.errors import TokenmillError
from training import parallel
from training.checkpoint import Progress
from training.config import CheckpointConfig, OptimizerConfig, ParallelConfig, RunConfig
from training.data.batches import Batch, BatchSource, Prefetcher
from training.losses import next_token_losses
from training.model.flops import peak_flops
from training.model.optimizers import Optimizers, learning_rate
from training.model.transformer import Transformer
from training.runtime import distributed
from training.runtime.distributed import World
from training.runtime.logs import Logs
from training.runtime.stopping import StopSignals, signal_handler

MAX_SKIPS = 10
"""Updates dropped in a row for a loss or gradient that is no number, before the run stops."""


class DivergedError(TokenmillError):
    """The loss or the gradient is no finite number."""


Validate = Callable[[], Mapping[str, float]]
"""Measures the held-out loss (all processes call it)."""
Sample = Callable[[int], None]
"""Writes samples after so many updates (all processes call it)."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """Everything a run consists of."""

    model: Transformer
    optimizers: Optimizers
    source: BatchSource
    world: World
    logs: Logs
    steps: int
    optimizer: OptimizerConfig
    parallel: ParallelConfig
    checkpoint: CheckpointConfig
    run: RunConfig
    flops_per_token: float
    save: Callable[[Progress], Any]
    """Save a checkpoint (all processes call it)."""
    validate: Validate | None = None
    validate_every: int | None = None
    sample: Sample | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StepResult:
    """One update."""

    loss: float
    """Mean nats of the supervised tokens of the step, on all processes."""
    gradient_norm: float
    tokens: int
    """Supervised tokens of the step, on all processes."""
    stop: bool
    """Some process was asked to stop."""

    @property
    def finite(self) -> bool:
        """Whether loss and gradient are numbers one can go on with."""
        return math.isfinite(self.loss) and math.isfinite(self.gradient_norm)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How `fit` ended."""

    progress: Progress
    last: StepResult | None
    """None when there was nothing left to do."""
    signal: int | None
    """The signal that ended the run early; None when all steps are done."""


def fit(job: Job, progress: Progress) -> Outcome:
    """Train from `progress` to the last step, or until a SIGTERM, SIGINT or SIGHUP: then save and return.

    Raises:
        DivergedError: loss or gradient is not finite (with `skip`: MAX_SKIPS times in a row).
        TokenmillError: a step has no supervised token; the GPU's memory is too small.
    """
    batches = Prefetcher(job.source, progress.sequences, pin=job.world.device.type == "cuda")
    meter = Meter(job)
    last, skips = None, 0
    signals = StopSignals()
    # Until all processes are here a signal ends each at once: one that notes it would wait for those that ended.
    distributed.all_gather(job.world, None)
    with signal_handler(signals.note):
        try:
            while progress.step < job.steps and not (last and last.stop):
                last = _update(job, meter.take(batches), progress, stop=signals.received is not None)
                skips = 0 if last.finite else skips + 1
                _check(job, last, progress, skips)
                progress = Progress(
                    step=progress.step + 1,
                    sequences=progress.sequences + job.source.sequences_per_step,
                    tokens=progress.tokens + last.tokens,
                )
                meter.count(last)
                _report(job, meter, progress, last)
        except torch.OutOfMemoryError as error:
            raise TokenmillError(out_of_memory(progress.step + 1, error)) from error
        finally:
            batches.close()
    cut_short = last is not None and last.stop and progress.step < job.steps
    return Outcome(progress=progress, last=last, signal=(signals.received or signal.SIGTERM) if cut_short else None)


def out_of_memory(step: int, error: torch.OutOfMemoryError) -> str:
    """What happened, and which keys to turn, in the order of what they cost."""
    return (
        f"step {step}: out of GPU memory: {str(error).split('. GPU')[0]}\n"
        "  lower batch.micro_batch_size, which changes nothing but speed;\n"
        "  then set parallel.loss_chunk=2048, then parallel.activation_checkpointing=selective, then full;\n"
        "  or use more GPUs"
    )


def _update(job: Job, batches: Sequence[Batch], progress: Progress, *, stop: bool) -> StepResult:
    """One step; parameters stay as they are when its loss or gradient is not finite."""
    job.optimizers.set_learning_rate(learning_rate(job.optimizer, progress.step, job.steps))
    result = gradients(
        job.model, batches, world=job.world, settings=job.parallel, max_grad_norm=job.optimizer.max_grad_norm, stop=stop
    )
    if result.finite and result.tokens:
        job.optimizers.step()
    job.optimizers.zero_grad()
    return result


def _check(job: Job, result: StepResult, progress: Progress, skips: int) -> None:
    where = f"step {progress.step + 1}"
    if result.tokens == 0:
        raise TokenmillError(f"{where}: no token is supervised: every target is masked")
    if result.finite:
        return
    found = f"{where}: loss {result.loss}, gradient norm {result.gradient_norm}"
    if job.optimizer.on_nonfinite == "skip" and skips < MAX_SKIPS:
        job.logs.say(f"{found}: update dropped ({skips} in a row)")
        return
    hint = "lower optimizer.learning_rate, or set optimizer.on_nonfinite=skip" if skips == 1 else f"{skips} in a row"
    raise DivergedError(f"{found}: stopped; the weights are those of step {progress.step} ({hint})")


def gradients(
    model: Transformer,
    batches: Sequence[Batch],
    *,
    world: World,
    settings: ParallelConfig,
    max_grad_norm: float | None,
    stop: bool = False,
) -> StepResult:
    """Leave in the parameters the gradient of the mean loss over all supervised tokens of the step.

    Args:
        batches: this process's micro-batches; every process has as many.
        max_grad_norm: the gradient is scaled down to it.
        stop: whether this process was asked to stop; the result tells whether any was.
    """
    totals = step_totals(batches, world, stop=stop)
    # FSDP averages over processes what here is to be summed.
    scale = (world.size / totals[0]).float()
    nats = torch.zeros(1, dtype=torch.float64, device=world.device)
    for number, batch in enumerate(batches):
        parallel.set_gradient_sync(model, settings, last=number + 1 == len(batches))
        here = batch.to(world.device)
        losses = next_token_losses(model, here, chunk=settings.loss_chunk)
        (losses.sum() * scale).backward()  # type: ignore[no-untyped-call]
        nats += losses.detach().sum(dtype=torch.float64)
    distributed.all_reduce_sum(world, nats)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), math.inf if max_grad_norm is None else max_grad_norm)
    # The one point of a step where the CPU waits for the GPU.
    facts = torch.stack([nats[0] / totals[0], distributed.full_tensor(norm).double(), totals[0], totals[1]]).tolist()
    return StepResult(loss=facts[0], gradient_norm=facts[1], tokens=int(facts[2]), stop=facts[3] > 0)


def step_totals(batches: Sequence[Batch], world: World, *, stop: bool) -> Tensor:
    """Supervised tokens, and processes asked to stop, over all processes: float64 (2,)."""
    mine = [sum(batch.supervised for batch in batches), int(stop)]
    return distributed.all_reduce_sum(world, torch.tensor(mine, dtype=torch.float64, device=world.device))


def _report(job: Job, meter: "Meter", progress: Progress, last: StepResult) -> None:
    """Log, validate, sample and save where one of them is due after this step."""
    finished, step = progress.step == job.steps, progress.step
    if finished or last.stop or step % job.run.log_every == 0:
        job.logs.metrics(step, meter.row(last, progress))
    started = time.perf_counter()
    if job.validate and (finished or _due(job.validate_every, step)):
        job.logs.metrics(step, job.validate())
    if job.sample and (finished or _due(job.run.sample_every, step)):
        job.sample(step)
    if finished or last.stop or _due(job.checkpoint.every, step):
        job.save(progress)
    meter.leave_out(time.perf_counter() - started)


def _due(every: int | None, step: int) -> bool:
    return every is not None and step % every == 0


class Meter:
    """Tokens, seconds and what follows from them, since the last row."""

    def __init__(self, job: Job) -> None:
        self._job, self._watch = job, Stopwatch()
        self._tokens, self._waited = 0, 0.0
        cuda = job.world.device.type == "cuda"
        bfloat16 = parallel.matmul_dtype(job.parallel.dtype, job.world.device) == torch.bfloat16
        self._peak = peak_flops(torch.cuda.get_device_name(job.world.device)) if cuda and bfloat16 else None

    def take(self, batches: Prefetcher) -> list[Batch]:
        """The next batches; the wait for them is measured."""
        started = time.perf_counter()
        taken = batches.take()
        self._waited += time.perf_counter() - started
        return taken

    def count(self, result: StepResult) -> None:
        """Add a step."""
        self._tokens += result.tokens

    def leave_out(self, seconds: float) -> None:
        """Seconds that were no training."""
        self._watch.leave_out(seconds)

    def row(self, result: StepResult, progress: Progress) -> dict[str, float]:
        """The metrics of the last step, with rates over the steps since the row before."""
        seconds, job = self._watch.lap(), self._job
        rate = self._tokens / seconds
        row = {
            "loss": result.loss,
            "learning_rate": learning_rate(job.optimizer, progress.step - 1, job.steps),
            "gradient_norm": result.gradient_norm,
            "tokens": progress.tokens,
            "tokens_per_second": rate,
            "data_wait": self._waited / seconds,
        }
        if self._peak is not None:
            row["mfu"] = rate * job.flops_per_token / (self._peak * job.world.size)
        if job.world.device.type == "cuda":
            row["memory_gib"] = torch.cuda.max_memory_allocated(job.world.device) / 2**30
        self._tokens, self._waited = 0, 0.0
        return row


class Stopwatch:
    """Seconds since the last `lap`, without those left out."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._left_out = 0.0

    def lap(self) -> float:
        """Seconds since the last call (or the start), pauses left out."""
        now = time.perf_counter()
        seconds, self._start, self._left_out = now - self._start - self._left_out, now, 0.0
        return max(seconds, 1e-9)

    def leave_out(self, seconds: float) -> None:
        """Do not count `seconds` of this lap: validation, samples and checkpoints are no training."""
        self._left_out += seconds
