"""The life of a run, with a kind of training made up for the purpose: it learns from the same rows at every step."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from pipeline.contract.config import resolved
from pipeline.contract.errors import ConfigError, IntegrityError
from training import checkpoint
from training import run as lifecycle
from training.checkpoint import load_for_inference
from training.config import CheckpointConfig, ModelConfig, OptimizerConfig, ParallelConfig, RunConfig
from training.data.batches import Batch
from training.losses import sparse_head_losses
from training.model.transformer import Transformer
from training.run import Run, resume_point, train
from training.runtime import distributed
from training.runtime.distributed import World

MODEL = ModelConfig(vocab_size=257, context_length=8, num_layers=1, hidden_size=16, num_heads=2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MadeUpConfig:
    """The sections that every kind has."""

    run: RunConfig
    optimizer: OptimizerConfig = dataclasses.field(default_factory=lambda: OptimizerConfig(warmup_steps=0))
    parallel: ParallelConfig = dataclasses.field(default_factory=lambda: ParallelConfig(device="cpu"))
    checkpoint: CheckpointConfig = dataclasses.field(default_factory=lambda: CheckpointConfig(every=2, keep=None))
    seed: int = 17


class SameRows:
    """A BatchSource."""

    sequences_per_step = 2

    def step(self, first: int) -> list[Batch]:
        tokens = torch.arange(16).view(2, 8)
        return [Batch(tokens=tokens, targets=tokens + 1)]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    yield distributed.initialize(ParallelConfig(device="cpu"))
    distributed.shut_down()


@pytest.fixture
def make_run(tmp_path: Path, byte_tokenizer: Tokenizer) -> Any:
    """Builds the run; fields can be given."""

    def build(settings: dict[str, Any] | None = None, **fields: Any) -> Run:
        output = tmp_path / "out"
        config = MadeUpConfig(
            run=RunConfig(output=str(output), log_every=1, tensorboard=False, sample_every=None, **(settings or {}))
        )
        info = {"name": "bytes", "sha256": "0", "vocabulary_size": 257, "end_of_text_id": 256}
        made = Run(
            kind="made_up", config=config, resolved={"model": resolved(MODEL), "seed": config.seed},
            provenance={"tokenizer": info, "init_from": None}, identity=lambda tree, _: {"seed": tree["seed"]},
            changed_hint="start anew", model=MODEL, tokenizer=byte_tokenizer.to_str().encode(), checkpoint_files={},
            steps=4, source=lambda _: SameRows(), flops_per_token=1.0, initialize=lambda _: None, start="nothing",
            head_losses=None, describe=lambda _, from_to: f"made up, {from_to}", write_facts=None, validate=None,
            validate_every=None, sample=None,
        )  # fmt: skip
        return dataclasses.replace(made, **fields)

    return build


def rows(run: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.output / "metrics.jsonl").read_text().splitlines()]


def weights(run: Run, step: int = 4) -> dict[str, torch.Tensor]:
    return load_for_inference(run.checkpoints / f"step-{step:08d}")[0].state_dict()


def test_a_run_saves_what_its_kind_brings(world: World, make_run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(
        checkpoint_files={"notes.txt": b"of its own"},
        write_facts=lambda output: (output / "facts.txt").write_text("known before the first step"),
        validate=lambda model, world: lambda: {"validation_loss": 7.0},
        validate_every=3,
    )
    outcome = train(run, world)
    assert outcome.progress.step == 4
    found = checkpoint.read(run.output, check_hashes=True)
    assert (found.kind, found.config, found.provenance) == ("made_up", run.resolved, run.provenance)
    assert (found.path / "notes.txt").read_bytes() == b"of its own"
    assert (run.output / "facts.txt").exists()
    assert [row["step"] for row in rows(run) if "validation_loss" in row] == [3, 4]
    assert "made up, from nothing to 4" in capsys.readouterr().err


def test_a_new_run_is_initialized_and_a_resumed_one_is_not(world: World, make_run: Any) -> None:
    started: list[str] = []

    def initialize(model: Transformer) -> None:
        started.append("here")
        with torch.no_grad():
            model.norm.weight.mul_(2.0)

    run = make_run(initialize=initialize)
    train(run, world)
    assert weights(run)["norm.weight"].mean() > 1.5
    first, whole = rows(run), weights(run)
    (run.checkpoints / "step-00000004").rename(run.output / "aside")
    train(run, world)
    assert started == ["here"]
    assert [row["loss"] for row in rows(run)] == [row["loss"] for row in first]
    assert all(torch.equal(value, whole[name]) for name, value in weights(run).items())


def test_the_loss_of_the_head_can_be_another(world: World, make_run: Any) -> None:
    called: list[int] = []

    def counted(*arguments: Any) -> torch.Tensor:
        called.append(1)
        return sparse_head_losses(*arguments)

    train(make_run(head_losses=counted), world)
    assert len(called) == 4


def test_a_finished_run_is_not_measured_or_saved_again(
    world: World, make_run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run()
    train(run, world)
    before = (run.checkpoints / "step-00000004").stat().st_mtime_ns
    assert train(run, world).last is None
    assert (run.checkpoints / "step-00000004").stat().st_mtime_ns == before
    assert "made up, all 4 steps are done already, so nothing is left to do" in capsys.readouterr().err


def test_only_this_very_run_is_resumed(world: World, make_run: Any) -> None:
    run = make_run()
    assert resume_point(run, check_hashes=True) is None
    train(run, world)
    found = resume_point(run, check_hashes=True)
    assert found is not None
    assert found.progress.step == 4
    with pytest.raises(ConfigError, match="holds checkpoints of a made_up run"):
        resume_point(make_run(kind="other"), check_hashes=True)
    with pytest.raises(ConfigError, match=r"was trained with another config: seed: 17 -> 18\n  start anew"):
        resume_point(make_run(resolved={**run.resolved, "seed": 18}), check_hashes=True)
    with pytest.raises(ConfigError, match=r"holds checkpoints, and run\.resume is false"):
        resume_point(make_run({"resume": False}), check_hashes=True)


def test_a_flipped_bit_is_found_where_hashes_are_checked(world: World, make_run: Any) -> None:
    run = make_run()
    train(run, world)
    part = run.checkpoints / "step-00000004" / "config.json"
    part.write_bytes(part.read_bytes().replace(b"17", b"18"))
    resume_point(make_run(identity=lambda *_: {}), check_hashes=False)
    with pytest.raises(IntegrityError, match=r"config\.json: sha256 is"):
        resume_point(run, check_hashes=True)


def test_a_mistake_ends_the_command_with_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(config_path: str | Path, overrides: Sequence[str]) -> Run:
        raise ConfigError("seed", f"cannot be {overrides[0]} in {config_path}")

    assert lifecycle.main(refuse, "training.made_up", "Nothing.", ["a.yaml", "--set", "seed=x"]) == 2
    assert capsys.readouterr().err == "ConfigError: seed: cannot be seed=x in a.yaml\n"


def test_a_mistake_is_found_before_a_process_starts(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> int:
        raise AssertionError("a process was started")

    monkeypatch.setattr(lifecycle, "run_processes", never)
    run = make_run()
    with pytest.raises(ConfigError, match=r"--nproc: must be at least 1, got 0"):
        lifecycle.launch(lambda *_: run, "training.made_up", "a.yaml", [], 0)
    assert not run.output.exists()


def test_the_processes_get_the_same_config_and_overrides(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[Sequence[str], int]] = []

    def record(command: Sequence[str], nproc: int) -> int:
        started.append((command, nproc))
        return 3

    monkeypatch.setattr(lifecycle, "run_processes", record)
    code = lifecycle.launch(lambda *_: make_run(), "training.made_up", "a.yaml", ["a=1", "b=2"], 2)
    assert code == 3
    assert started == [(["-m", "training.made_up", "a.yaml", "--set", "a=1", "--set", "b=2"], 2)]
