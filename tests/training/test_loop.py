"""The loop by itself: a small model, batches from memory, and nothing on disk."""

import dataclasses
import math
import os
import signal
from typing import Any

import pytest
import torch

from pipeline.contract.errors import TokenmillError
from training import loop
from training.checkpoint import Progress
from training.config import CheckpointConfig, ModelConfig, OptimizerConfig, ParallelConfig, RunConfig
from training.data.batches import IGNORE_INDEX, Batch
from training.loop import MAX_SKIPS, DivergedError, Job, fit, gradients
from training.model.initialization import new_model
from training.model.optimizers import build_optimizers
from training.runtime.distributed import World

SHAPE = ModelConfig(vocab_size=50, context_length=8, num_layers=1, hidden_size=16, num_heads=2)
HERE = World(device=torch.device("cpu"))
PLAIN = ParallelConfig(device="cpu")


def some_batch(rows: int, seed: int = 1, supervised: int | None = None) -> Batch:
    """`supervised`: targets of each row that count; None: all."""
    tokens = torch.randint(0, 50, (rows, 9), generator=torch.Generator().manual_seed(seed))
    targets = tokens[:, 1:].clone()
    if supervised is not None:
        targets[:, supervised:] = IGNORE_INDEX
    return Batch(tokens=tokens[:, :-1].contiguous(), targets=targets)


def parts_of(batch: Batch, *sizes: int) -> list[Batch]:
    """The batch in micro-batches."""
    split = zip(batch.tokens.split(list(sizes)), batch.targets.split(list(sizes)), strict=True)
    return [Batch(tokens=tokens, targets=targets) for tokens, targets in split]


class Recorded:
    """Logs kept in memory, and batches, saves, validations and samples that are counted."""

    sequences_per_step = 4

    def __init__(self, supervised: int | None = None) -> None:
        self.supervised, self.rows, self.said, self.events = supervised, [], [], []

    def step(self, first: int) -> list[Batch]:
        return [some_batch(4, seed=first, supervised=self.supervised)]

    def metrics(self, step: int, values: Any) -> None:
        self.rows.append({"step": step, **values})

    def sample(self, step: int, prompt: str, text: str) -> None:
        raise AssertionError("the job below has no sampler that logs")

    def say(self, message: str) -> None:
        self.said.append(message)

    def close(self) -> None:
        pass

    def job(self, steps: int = 5, every: int | None = None, **sections: Any) -> Job:
        model = new_model(SHAPE, seed=1)
        optimizer = OptimizerConfig(learning_rate=0.01, warmup_steps=0, **sections.pop("optimizer", {}))
        fields: dict[str, Any] = {
            "model": model, "optimizers": build_optimizers(model, optimizer), "source": self, "world": HERE,
            "logs": self, "steps": steps, "optimizer": optimizer, "parallel": PLAIN,
            "checkpoint": CheckpointConfig(every=every),
            "run": RunConfig(output="unused", log_every=1, sample_every=every), "flops_per_token": 1.0,
            "save": lambda progress: self.events.append(("save", progress.step)), "validate_every": every,
        }  # fmt: skip
        return Job(**{**fields, **sections})


def weights(job: Job) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in job.model.parameters()]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def gradient(batches: list[Batch], max_norm: float | None = None) -> tuple[loop.StepResult, torch.Tensor]:
    model = new_model(SHAPE, seed=1)
    result = gradients(model, batches, world=HERE, settings=PLAIN, max_grad_norm=max_norm)
    return result, torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


@pytest.mark.parametrize("sizes", [(6,), (1, 5), (3, 3), (1, 1, 1, 1, 1, 1)])
def test_a_step_divides_by_its_supervised_tokens_however_it_is_split(sizes: tuple[int, ...]) -> None:
    """Rows with 8, 2 and 5 targets: a mean of the micro-batches' means would differ."""
    batch = some_batch(6)
    batch.targets[1, 2:] = IGNORE_INDEX
    batch.targets[4, 5:] = IGNORE_INDEX
    model = new_model(SHAPE, seed=1)
    expected = model(batch.tokens, targets=batch.targets).sum() / (6 * 8 - 6 - 3)
    expected.backward()
    found, grad = gradient(parts_of(batch, *sizes))
    assert found.tokens == 39
    assert found.loss == pytest.approx(expected.item(), abs=1e-6)
    wanted = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    assert torch.allclose(grad, wanted, atol=1e-6)
    assert found.gradient_norm == pytest.approx(wanted.norm().item(), rel=1e-5)


def test_a_mean_of_means_is_another_number() -> None:
    """The bug that accumulation invites, and that the test above must be able to see."""
    batch = some_batch(6)
    batch.targets[1:, 2:] = IGNORE_INDEX
    means = [gradient([part])[0].loss for part in parts_of(batch, 1, 5)]
    assert abs(sum(means) / 2 - gradient([batch])[0].loss) > 1e-3


def test_rows_without_targets_change_nothing() -> None:
    batch, empty = some_batch(3), some_batch(2, seed=9, supervised=0)
    assert gradient([batch, empty])[0].loss == pytest.approx(gradient([batch])[0].loss, abs=1e-7)
    assert torch.allclose(gradient([batch, empty])[1], gradient([batch])[1], atol=1e-7)


def test_a_long_gradient_is_scaled_down_and_its_own_norm_is_reported() -> None:
    free, whole = gradient([some_batch(4)])
    clipped, short = gradient([some_batch(4)], max_norm=free.gradient_norm / 2)
    assert clipped.gradient_norm == free.gradient_norm
    assert short.norm().item() == pytest.approx(free.gradient_norm / 2, rel=1e-4)
    assert torch.equal(gradient([some_batch(4)], max_norm=free.gradient_norm * 2)[1], whole)


def test_the_position_in_the_data_moves_by_whole_steps() -> None:
    source = Recorded(supervised=3)
    outcome = fit(source.job(steps=5), Progress(step=2, sequences=8, tokens=100))
    assert outcome.progress == Progress(step=5, sequences=20, tokens=100 + 3 * 4 * 3)
    assert outcome.signal is None
    assert [row["step"] for row in source.rows] == [3, 4, 5]
    assert [row["tokens"] for row in source.rows] == [112, 124, 136]
    expected = gradients(new_model(SHAPE, seed=1), source.step(8), world=HERE, settings=PLAIN, max_grad_norm=1.0)
    assert source.rows[0]["loss"] == expected.loss  # the third step reads from position 8


def test_a_finished_run_does_nothing() -> None:
    source = Recorded()
    outcome = fit(source.job(steps=5), Progress(step=5))
    assert (outcome.last, outcome.signal, source.rows, source.events) == (None, None, [], [])


def test_what_is_due_happens_and_the_last_step_is_always_measured_and_saved() -> None:
    source = Recorded()
    job = source.job(
        steps=5, every=2, validate=lambda: {"validation_loss": 1.0},
        sample=lambda step: source.events.append(("sample", step)),
    )  # fmt: skip
    fit(job, Progress())
    assert source.events == [
        ("sample", 2), ("save", 2), ("sample", 4), ("save", 4), ("sample", 5), ("save", 5),
    ]  # fmt: skip
    assert [row["step"] for row in source.rows if "validation_loss" in row] == [2, 4, 5]


def test_a_loss_that_is_no_number_stops_the_run_with_the_weights_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Recorded()
    job, bad = source.job(every=1), nan_at(monkeypatch, {3})
    with pytest.raises(
        DivergedError, match=r"step 3: loss nan, .*: stopped; the weights are those of step 2 \(lower optimizer"
    ):
        fit(job, Progress())
    assert source.events == [("save", 1), ("save", 2)]
    assert same(weights(job), bad[3])


def nan_at(monkeypatch: pytest.MonkeyPatch, steps: set[int]) -> dict[int, list[torch.Tensor]]:
    """Make these calls of `gradients` report NaN; returns the weights before each call."""
    real, before = loop.gradients, {}

    def spoiled(model: Any, batches: Any, **settings: Any) -> loop.StepResult:
        before[len(before) + 1] = [parameter.detach().clone() for parameter in model.parameters()]
        result = real(model, batches, **settings)
        return dataclasses.replace(result, loss=math.nan) if len(before) in steps else result

    monkeypatch.setattr(loop, "gradients", spoiled)
    return before


def test_a_bad_step_can_be_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Recorded()
    job, before = source.job(steps=5, optimizer={"on_nonfinite": "skip"}), nan_at(monkeypatch, {3})
    assert fit(job, Progress()).progress.step == 5
    assert same(before[3], before[4])
    assert not same(before[4], before[5])
    [line] = source.said
    assert line.endswith("update dropped (1 in a row)")


def test_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Recorded().job(steps=50, optimizer={"on_nonfinite": "skip"})
    nan_at(monkeypatch, {2, *range(4, 50)})  # a good step between two bad ones counts anew
    with pytest.raises(DivergedError, match=f"step {3 + MAX_SKIPS}: .*{MAX_SKIPS} in a row"):
        fit(job, Progress())


def test_a_step_without_supervised_tokens_is_refused() -> None:
    with pytest.raises(TokenmillError, match="step 1: no token is supervised: every target is masked"):
        fit(Recorded(supervised=0).job(), Progress())


def test_a_signal_ends_the_run_after_the_step_with_a_save(monkeypatch: pytest.MonkeyPatch) -> None:
    source, real = Recorded(), loop._update

    def interrupted(job: Job, batches: Any, progress: Progress, *, stop: bool) -> loop.StepResult:
        if progress.step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(job, batches, progress, stop=stop)

    monkeypatch.setattr(loop, "_update", interrupted)
    before = signal.getsignal(signal.SIGTERM)
    outcome = fit(source.job(), Progress())
    # The signal came during step 2: the processes agree on it in the collective of step 3.
    assert (outcome.progress.step, outcome.signal) == (3, signal.SIGTERM)
    assert source.events == [("save", 3)]
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_gpu_too_small_says_what_to_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(*_: Any, **__: Any) -> loop.StepResult:
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 8.00 GiB. GPU 0 has a total capacity of 79 GiB"
        )

    monkeypatch.setattr(loop, "gradients", too_much)
    with pytest.raises(TokenmillError, match=r"step 1: .* 8.00 GiB\n  lower batch.micro_batch_size"):
        fit(Recorded().job(), Progress())
