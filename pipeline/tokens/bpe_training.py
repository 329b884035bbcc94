"""Train a byte-level BPE tokenizer: the same texts, in any order, give the same file."""

import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pipeline.contract.errors import InputError

END_OF_TEXT = "<|endoftext|>"
Split = Literal["gpt2", "cl100k"]

CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Words of OpenAI's cl100k_base: digits in threes, line breaks of their own, case-insensitive contractions."""


def train_tokenizer(
    texts: Iterable[str], *, vocabulary_size: int, path: str | Path, split: Split = "gpt2", min_frequency: int = 2
) -> None:
    """Train a byte-level BPE on `texts` and write it to `path` as a Hugging Face `tokenizer.json`.

    The first id is `<|endoftext|>`, the next 256 are the bytes, so every text can be encoded. Memory grows with the
    number of distinct words, not with the length of the texts.

    Args:
        texts: documents, read once.
        vocabulary_size: ids in all, `<|endoftext|>` and the 256 bytes included; fewer come out when the texts hold
            too few pairs that occur `min_frequency` times.
        path: where the file goes.
        split: how a text is cut into words before merging: as GPT-2 or as cl100k_base.
        min_frequency: a pair seen less often is not merged.

    Raises:
        ValueError: `vocabulary_size` is under 257.
        InputError: `texts` is empty.
    """
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    if vocabulary_size < 257:
        raise ValueError(f"vocabulary_size: must be at least 257 (256 bytes and end-of-text), got {vocabulary_size}")
    counted = _CountedTexts(texts)
    engine = tokenizers.Tokenizer(models.BPE())
    engine.pre_tokenizer = _pre_tokenizer(split)
    engine.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        min_frequency=min_frequency,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    engine.train_from_iterator(counted, trainer=trainer)
    if not counted.count:
        raise InputError(str(path), "no text to train a tokenizer on")
    _write(engine, Path(path))


class _CountedTexts:
    """Iterates once over the texts that hold something and remembers how many there were."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = texts
        self.count = 0

    def __iter__(self) -> Any:
        for text in self.texts:
            if text:
                self.count += 1
                yield text.encode("utf-8", "replace").decode()


def _pre_tokenizer(split: Split) -> Any:
    from tokenizers import Regex, pre_tokenizers

    if split == "gpt2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    words = pre_tokenizers.Split(Regex(CL100K), behavior="isolated")
    return pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def _write(engine: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        engine.save(str(temporary))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
