"""The config of fine-tuning on conversations."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pipeline.contract.config import build
from pipeline.contract.keys import apply_overrides
from pipeline.contract.yaml_text import read_yaml
from training.config import CheckpointConfig, OptimizerConfig, ParallelConfig, RunConfig


def _at_least(config: object, minimum: float, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if value is not None and value < minimum:
            raise ValueError(f"{name}: must be at least {minimum}, got {value}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ConversationConfig:
    """Which conversations are learned, and how they become rows."""

    train: tuple[str, ...]
    """jsonl files of `{"messages": [{"role": ..., "content": ...}]}`."""
    sequence_length: int | None = None
    """Tokens per row; several conversations share one. null: the model's context_length."""
    bad_lines: Literal["stop", "skip"] = "stop"
    """What a line that is no conversation does. skip: leave it out and count it by cause."""

    def __post_init__(self) -> None:
        if not self.train:
            raise ValueError("train: names no file")
        _at_least(self, 8, "sequence_length")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ChatValidationConfig:
    """Held-out conversations, and how often the loss on them is measured."""

    every: int | None = 50
    """Steps between two measurements; the last step is always measured. null: off."""
    fraction: float | None = 0.02
    """Share of the conversations of `data.train` held out, chosen by a keyed hash of their ids. null: none."""
    files: tuple[str, ...] = ()
    """jsonl files to measure on, beside (or, with `fraction: null`, instead of) a share of `data.train`."""

    def __post_init__(self) -> None:
        _at_least(self, 1, "every")
        if self.fraction is not None and not 0 < self.fraction < 1:
            raise ValueError(f"fraction: must be between 0 and 1, got {self.fraction} (null: hold out nothing)")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RowBatchConfig:
    """How much is learned from, and in what portions."""

    epochs: int = 2
    """How often every row is seen, in another order each time."""
    rows: int = 32
    """Rows per optimizer step over all processes; the world size changes nothing but the time it takes."""
    micro_batch_size: int = 8
    """Rows one process puts through the model at a time; gradients are accumulated over the rest."""

    def __post_init__(self) -> None:
        _at_least(self, 1, "epochs", "rows", "micro_batch_size")


OPTIMIZER_DEFAULTS = {"learning_rate": 3e-5, "warmup_steps": 10, "weight_decay": 0.0, "min_lr_ratio": 0.0}
"""Where fine-tuning differs from pretraining's defaults."""


def _optimizer() -> OptimizerConfig:
    return build(OptimizerConfig, OPTIMIZER_DEFAULTS, "optimizer")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SftConfig:
    """A fine-tuning run on conversations."""

    init_from: str
    """The checkpoint to start from, or a run folder, of which the newest is taken."""
    data: ConversationConfig
    run: RunConfig
    """`sample_prompts` are what a user says; an empty one is left out."""
    batch: RowBatchConfig = dataclasses.field(default_factory=RowBatchConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=_optimizer)
    """As in pretraining, but where nothing is said: learning_rate 3e-5, warmup_steps 10, weight_decay 0,
    min_lr_ratio 0."""
    validation: ChatValidationConfig = dataclasses.field(default_factory=ChatValidationConfig)
    parallel: ParallelConfig = dataclasses.field(default_factory=ParallelConfig)
    checkpoint: CheckpointConfig = dataclasses.field(default_factory=CheckpointConfig)
    seed: int = 17
    """Of the held-out choice, the order of the rows and the samples."""


def load_sft_config(path: str | Path, overrides: Sequence[str] = ()) -> SftConfig:
    """The config in a YAML file, with `a.b=value` overrides of the command line.

    Raises:
        ConfigError: anything the config does not allow, with the key's path.
    """
    tree = apply_overrides(read_yaml(path), overrides)
    given = tree.get("optimizer", {})
    tree["optimizer"] = {**OPTIMIZER_DEFAULTS, **given} if isinstance(given, dict) else given
    return build(SftConfig, tree, str(path))
