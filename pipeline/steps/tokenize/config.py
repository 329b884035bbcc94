"""The section `tokenize` of a config."""

import dataclasses

from pipeline.document import Stage
from pipeline.tokens.bpe_training import Split
from pipeline.tokens.rehydrate import Rehydrate


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrainTokenizer:
    """A byte-level BPE trained on the surviving documents."""

    vocabulary_size: int = 32_768
    """Ids in all, end-of-text and the 256 bytes included."""
    split: Split = "gpt2"
    """How a text is cut into words before merging: as GPT-2 or as cl100k_base."""
    max_bytes: int = 2_000_000_000
    """Train on about this much text, chosen by hash of the document id, when there is more."""

    def __post_init__(self) -> None:
        if not 257 <= self.vocabulary_size <= 1 << 24:
            raise ValueError(f"vocabulary_size: must be 257 to 16,777,216, got {self.vocabulary_size}")
        if self.max_bytes < 1:
            raise ValueError(f"max_bytes: must be at least 1, got {self.max_bytes}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TokenizeConfig:
    """Step 4: scrub, decontaminate, encode, shuffle."""

    stages: tuple[Stage, ...] = ()
    """What still happens to a document once duplicates are gone: `pii`, `decontaminate`."""
    tokenizer: str | None = None
    """Path of a Hugging Face tokenizer.json. Give this or `train_tokenizer`."""
    train_tokenizer: TrainTokenizer | None = None
    """Train a byte-level BPE on the surviving documents instead; it is written to OUT/tokens/tokenizer.json."""
    end_of_text: str | None = None
    """The token that closes a document; null looks for the well-known names."""
    tokens_per_shard: int = 100_000_000
    """Tokens in a shard, about."""
    rehydrate: Rehydrate | None = None
    """Repeat kept documents by how many duplicates they stand for; null writes each once, `{}` takes FineWeb2's
    weights."""

    def __post_init__(self) -> None:
        if self.tokens_per_shard < 1:
            raise ValueError(f"tokens_per_shard: must be at least 1, got {self.tokens_per_shard}")
        if self.tokenizer and self.train_tokenizer:
            raise ValueError("tokenizer and train_tokenizer: give one of the two, not both")
