"""The config of a pretraining run: what stands in `configs/training/*.yaml`.

`model`, `data`, `batch`, `optimizer`, `init_from` and `seed` decide what is learned: a run resumed with other values
there is refused. `parallel`, `validation`, `checkpoint` and `run` may change between a stop and a resume.
"""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pipeline.contract.config import build
from pipeline.contract.keys import apply_overrides
from pipeline.contract.yaml_text import read_yaml

VOCABULARY_MULTIPLE = 64
"""Matrix sides that are multiples of 64 keep tensor cores and FSDP's even splits happy."""


def _at_least(config: Any, minimum: float, *names: str) -> None:
    """Raise ValueError for a named field below `minimum`; None (off, or derived) passes."""
    for name in names:
        value = getattr(config, name)
        if value is not None and value < minimum:
            raise ValueError(f"{name}: must be at least {minimum}, got {value}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """The shape of the network; `type` chooses the family."""

    type: Literal["llama", "gpt2"] = "llama"
    """llama: RMSNorm, rotary positions, SwiGLU, no biases. gpt2: LayerNorm, learned positions, GELU, biases."""
    vocab_size: int | None = None
    """Ids the model may read and emit. null: as many as the tokenizer of the token shards has."""
    context_length: int = 1024
    """Longest sequence, in tokens."""
    num_layers: int = 12
    """Number of blocks."""
    hidden_size: int = 768
    """Size of the residual stream."""
    num_heads: int = 12
    """Query heads."""
    num_kv_heads: int | None = None
    """Key and value heads (grouped-query attention). null: as many as `num_heads`."""
    head_dim: int | None = None
    """Size of one head. null: hidden_size / num_heads."""
    intermediate_size: int | None = None
    """Inner size of the MLP. null: 4 x hidden_size for gpt2; 8/3 x hidden_size, rounded up to a multiple of 64, for
    llama."""
    rope_theta: float = 10_000.0
    """Base of the rotary frequencies (llama)."""
    norm_eps: float = 1e-5
    """Added to the variance in every norm."""
    tie_word_embeddings: bool = True
    """The output head is the token embedding."""
    init_std: float = 0.02
    """Standard deviation of the initial weights; see `model.initialization`."""

    def __post_init__(self) -> None:
        _at_least(self, 1, "vocab_size", "context_length", "num_layers", "hidden_size", "num_heads", "num_kv_heads")
        _at_least(self, 1, "head_dim", "intermediate_size")
        if self.head_dim is None and self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size: must be a multiple of num_heads ({self.num_heads}), got {self.hidden_size}")
        if self.num_heads % self.effective_num_kv_heads:
            raise ValueError(f"num_kv_heads: must divide num_heads ({self.num_heads}), got {self.num_kv_heads}")
        if self.type == "llama" and self.effective_head_dim % 2:
            raise ValueError(f"head_dim: rotary positions need an even size, got {self.effective_head_dim}")
        for name in ("rope_theta", "norm_eps", "init_std"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: must be above 0, got {getattr(self, name)}")

    @property
    def effective_num_kv_heads(self) -> int:
        """`num_kv_heads`, the default filled in."""
        return self.num_kv_heads or self.num_heads

    @property
    def effective_head_dim(self) -> int:
        """`head_dim`, the default filled in."""
        return self.head_dim or self.hidden_size // self.num_heads

    @property
    def effective_intermediate_size(self) -> int:
        """`intermediate_size`, the default filled in."""
        if self.intermediate_size is not None:
            return self.intermediate_size
        return 4 * self.hidden_size if self.type == "gpt2" else math.ceil(self.hidden_size * 8 / 3 / 64) * 64

    @property
    def known_vocab_size(self) -> int:
        """`vocab_size`, once it is known.

        Raises:
            ValueError: it is null and no tokenizer has filled it in yet.
        """
        if self.vocab_size is None:
            raise ValueError("vocab_size: is null; it comes from the tokenizer of the token shards")
        return self.vocab_size

    @property
    def padded_vocab_size(self) -> int:
        """Rows of the embedding: `vocab_size` rounded up to a multiple of 64."""
        return math.ceil(self.known_vocab_size / VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TokenSource:
    """One `tokens/` folder in a mix."""

    path: str
    """A `tokens/` folder, or the run folder that holds it."""
    weight: float = 1.0
    """Share of the sequences drawn from it, relative to the other sources; shares are kept to 1/4096."""

    def __post_init__(self) -> None:
        if self.weight <= 0:
            raise ValueError(f"weight: must be above 0, got {self.weight} (leave the source out to turn it off)")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """Which token shards are read, and how they become sequences."""

    tokens: str | tuple[TokenSource, ...]
    """A `tokens/` folder (or the run folder that holds it), or a list of {path, weight} to mix."""
    tokenizer: str | None = None
    """The tokenizer.json the shards were made with. null: the one beside the shards. Checked by its SHA-256."""
    sequence_length: int | None = None
    """Tokens per training sequence. null: the model's context_length."""
    document_mask: bool = False
    """Tokens see only their own document; false: a sequence is one stream, end-of-text between documents."""

    def __post_init__(self) -> None:
        _at_least(self, 2, "sequence_length")
        if not self.tokens:
            raise ValueError("tokens: names no folder")

    @property
    def sources(self) -> tuple[TokenSource, ...]:
        """The mix, a single folder being a mix of one."""
        return (TokenSource(path=self.tokens),) if isinstance(self.tokens, str) else self.tokens


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class BatchConfig:
    """How much is learned from, and in what portions."""

    steps: int
    """Optimizer steps of the whole run."""
    tokens: int
    """Tokens per optimizer step over all processes; the world size changes nothing but the time it takes."""
    micro_batch_size: int = 8
    """Sequences one process puts through the model at a time; gradients are accumulated over the rest."""

    def __post_init__(self) -> None:
        _at_least(self, 1, "steps", "tokens", "micro_batch_size")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerConfig:
    """The optimizer and its learning-rate schedule."""

    name: Literal["adamw", "muon"] = "adamw"
    """muon: torch.optim.Muon on the matrices of the blocks, AdamW on embeddings, head, norms and biases."""
    learning_rate: float = 6e-4
    """Peak learning rate (AdamW's, and with muon that of both, Muon's updates being scaled to AdamW's RMS)."""
    beta1: float = 0.9
    """Decay of the first moment; Muon's momentum is 0.95."""
    beta2: float = 0.95
    """Decay of the second moment."""
    epsilon: float = 1e-8
    """Added to the denominator of AdamW."""
    weight_decay: float = 0.1
    """On parameters of two dimensions alone: norms and biases are not decayed."""
    schedule: Literal["cosine", "wsd"] = "cosine"
    """cosine: warm-up, then a half cosine. wsd: warm-up, constant, then linear decay over the last `decay_fraction`."""
    warmup_steps: int = 100
    """Steps of linear warm-up from 0."""
    decay_fraction: float = 0.2
    """wsd: share of all steps spent decaying."""
    min_lr_ratio: float = 0.1
    """Learning rate at the end, as a share of the peak."""
    max_grad_norm: float | None = 1.0
    """Largest gradient norm; longer gradients are scaled down. null: off."""
    on_nonfinite: Literal["stop", "skip"] = "stop"
    """When the loss or the gradient is NaN or infinite. skip: drop that step's update; ten in a row stop the run."""

    def __post_init__(self) -> None:
        _at_least(self, 0, "learning_rate", "weight_decay", "warmup_steps", "min_lr_ratio", "decay_fraction", "epsilon")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}: must be from 0 to below 1, got {getattr(self, name)}")
        for name in ("min_lr_ratio", "decay_fraction"):
            if getattr(self, name) > 1:
                raise ValueError(f"{name}: must be at most 1, got {getattr(self, name)}")
        if self.max_grad_norm is not None and self.max_grad_norm <= 0:
            raise ValueError(f"max_grad_norm: must be above 0, got {self.max_grad_norm} (null turns it off)")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ValidationConfig:
    """Held-out documents, and how often the loss on them is measured."""

    every: int | None = 250
    """Steps between two measurements; the last step is always measured. null: off."""
    fraction: float | None = 0.01
    """Share of each source's tokens held out: whole documents, from the end. The shards are shuffled, so these are
    a random sample."""
    shards: int | None = None
    """Hold out this many last shards of each source instead of a fraction."""
    path: str | None = None
    """A `tokens/` folder to validate on instead of holding anything out."""
    sequences: int | None = 256
    """Sequences measured each time, always the same ones. null: all."""

    def __post_init__(self) -> None:
        _at_least(self, 1, "every", "shards", "sequences")
        if self.fraction is not None and not 0 < self.fraction < 1:
            raise ValueError(f"fraction: must be between 0 and 1, got {self.fraction} (null: hold out nothing)")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ParallelConfig:
    """How the model is spread, cast and compiled; none of it changes what is learned beyond rounding."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: CUDA where there is a GPU."""
    replicas: int = 1
    """HSDP: groups of processes that each hold a full copy. 1: parameters are sharded over all processes."""
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """Type of the matrix products; master weights and gradient sums are float32. auto: bfloat16 where CUDA has it."""
    activation_checkpointing: Literal["none", "selective", "full"] = "none"
    """What a block keeps for the backward pass. none: everything. selective: the outputs of matrix products and
    attention. full: its input alone. The rest is computed again."""
    compile: bool = False
    """torch.compile each block and the loss."""
    reshard_after_forward: bool = True
    """Free each block's full parameters between forward and backward; false is faster where they fit."""
    sync_every_microbatch: bool = True
    """Reduce gradients after each micro-batch; false holds full float32 gradients in memory, and communicates once."""
    loss_chunk: int | None = None
    """Compute the logits and their loss for this many tokens at a time instead of all at once: saves
    micro_batch_size x sequence_length x vocabulary floats."""
    deterministic: bool = False
    """CUDA: only kernels that give the same bits each time (slower). On a CPU runs repeat to the bit anyway."""
    timeout_minutes: int = 30
    """How long a process waits for the others before it gives up."""

    def __post_init__(self) -> None:
        _at_least(self, 1, "replicas", "loss_chunk", "timeout_minutes")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointConfig:
    """When the state is saved, and how long it is kept."""

    every: int | None = 1000
    """Steps between two checkpoints; the last step is always saved. null: only the last."""
    keep: int | None = 3
    """Newest checkpoints kept. null: all."""
    keep_every: int | None = None
    """Checkpoints at multiples of this many steps are never removed. null: off."""

    def __post_init__(self) -> None:
        _at_least(self, 1, "every", "keep", "keep_every")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """Where the run lives and what it tells."""

    output: str
    """Folder of checkpoints, logs and samples."""
    resume: bool = True
    """Go on from the newest checkpoint in `output`; false refuses a folder that has one."""
    log_every: int = 10
    """Steps between two lines of metrics.jsonl."""
    tensorboard: bool = True
    """Write TensorBoard events to `output`/tensorboard."""
    sample_every: int | None = 500
    """Steps between two samples of text. null: off."""
    sample_prompts: tuple[str, ...] = ("",)
    """What the samples go on from; the empty prompt starts a document."""
    sample_tokens: int = 64
    """Tokens per sample."""

    def __post_init__(self) -> None:
        _at_least(self, 1, "log_every", "sample_every", "sample_tokens")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PretrainConfig:
    """A pretraining run."""

    data: DataConfig
    batch: BatchConfig
    run: RunConfig
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    validation: ValidationConfig = dataclasses.field(default_factory=ValidationConfig)
    parallel: ParallelConfig = dataclasses.field(default_factory=ParallelConfig)
    checkpoint: CheckpointConfig = dataclasses.field(default_factory=CheckpointConfig)
    init_from: str | None = None
    """A checkpoint whose weights (not optimizer, not position) the run starts from. null: new weights."""
    seed: int = 17
    """Of the initial weights, the order of the data and the samples."""

    def __post_init__(self) -> None:
        length = self.sequence_length
        if length > self.model.context_length:
            raise ValueError(
                f"data.sequence_length: {length} is above model.context_length {self.model.context_length}"
            )
        if self.batch.tokens < length or self.batch.tokens % length:
            raise ValueError(
                f"batch.tokens: must be a multiple of the sequence length {length}, got {self.batch.tokens}"
            )
        if self.optimizer.warmup_steps >= self.batch.steps:
            steps, warmup = self.batch.steps, self.optimizer.warmup_steps
            raise ValueError(f"optimizer.warmup_steps: must be below batch.steps ({steps}), got {warmup}")

    @property
    def sequence_length(self) -> int:
        """Tokens per training sequence."""
        return self.data.sequence_length or self.model.context_length

    @property
    def sequences_per_step(self) -> int:
        """Sequences per optimizer step, over all processes."""
        return self.batch.tokens // self.sequence_length


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> PretrainConfig:
    """The config in a YAML file, with `a.b=value` overrides of the command line.

    Raises:
        ConfigError: anything the config does not allow, with the key's path.
    """
    return build(PretrainConfig, apply_overrides(read_yaml(path), overrides), str(path))
