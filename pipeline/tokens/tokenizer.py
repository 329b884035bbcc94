"""Any Hugging Face `tokenizer.json` as an encoder of untrusted page text.

What a page says can never become a control token: `<|endoftext|>` written on a page is encoded as the characters it
is made of. Ids of special tokens enter a stream only where this module puts them: one end-of-text after each document.
"""

import dataclasses
import functools
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.contract.errors import ConfigError, InputError
from pipeline.contract.manifest import TokenizerInfo, dtype_for
from pipeline.contract.shards import Tokens
from pipeline.contract.vocabulary import check_survivable, tokenizer_name, vocabulary_size

END_OF_TEXT_NAMES = (
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|end▁of▁sentence|>",
    "<｜end▁of▁sentence｜>",
    "</s>",
    "<eos>",
    "<|eos|>",
    "<EOS>",
    "[EOS]",
)
"""Tried in this order when the config names no end-of-text token: GPT-2, Llama 3, DeepSeek, Llama 2, Gemma, ..."""

_CONTROL = re.compile(r"<[|｜].*[|｜]>")
"""Control tokens by their looks. Other tokens that a file adds without calling them special (runs of spaces, `<table>`,
`<think>`) are ordinary text, which a page may hold."""
_BATCH_CHARACTERS = 1_000_000
"""Texts handed to the encoder at once. Measured: it holds about 130 bytes per character until the ids are copied."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Tokenizer:
    """A loaded tokenizer; make one with `load_tokenizer`."""

    info: TokenizerInfo
    end_of_text: str
    """The string of the end-of-text token."""
    special_tokens: dict[str, int]
    """Every token that page text must not produce, with its id; sorted by id."""
    path: Path
    _engine: Any
    _protected: npt.NDArray[np.bool_]
    """True at the ids of `special_tokens`, shape (vocabulary_size,)."""
    _cuttable: bool
    """Whether a text may be cut at a space between two letters without changing a single id."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint16 when the vocabulary fits 65,536, else uint32."""
        return np.dtype(dtype_for(self.info.vocabulary_size))

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """Ids of each text, shape (tokens,): no special token, no beginning, no end.

        A lone surrogate (it has no UTF-8 form) is encoded as U+FFFD.
        """
        encoded: list[Tokens] = []
        for batch in self._batches(texts):
            if len(batch[0]) > _BATCH_CHARACTERS and self._cuttable:  # such a text is alone in its batch
                parts = cut_at_spaces(batch[0], _BATCH_CHARACTERS)
                encoded.append(np.concatenate([self._encode_batch([part])[0] for part in parts]))
            else:
                encoded += self._encode_batch(batch)
        return encoded

    def encode_documents(self, texts: Sequence[str]) -> list[Tokens]:
        """Ids of each text, closed by the end-of-text id, as shards hold them."""
        end = np.array([self.info.end_of_text_id], dtype=self.dtype)
        return [np.concatenate([ids, end]) for ids in self.encode(texts)]

    def decode(self, ids: Tokens | Sequence[int]) -> str:
        """The text of `ids`, special tokens written out."""
        return str(self._engine.decode([int(i) for i in ids], skip_special_tokens=False))

    def pieces(self, ids: Tokens | Sequence[int]) -> list[str]:
        """The text of each id alone; bytes that are no character by themselves show as U+FFFD."""
        return [self.decode([i]) for i in ids]

    def _batches(self, texts: Sequence[str]) -> Iterator[list[str]]:
        batch: list[str] = []
        size = 0
        for text in texts:
            if batch and size + len(text) > _BATCH_CHARACTERS:
                yield batch
                batch, size = [], 0
            batch.append(text)
            size += len(text)
        if batch:
            yield batch

    def _encode_batch(self, texts: list[str]) -> list[Tokens]:
        texts = [_without_surrogates(text) for text in texts]
        try:
            found = self._engine.encode_batch_fast(texts, add_special_tokens=False)
        except (
            Exception
        ) as error:  # the library raises nothing narrower; a model without a token for unknown words, say
            raise InputError(str(self.path), f"cannot encode a text: {error}") from error
        arrays = [np.array(encoding.ids, dtype=self.dtype) for encoding in found]
        return [
            self._encode_around(text) if self._protected[ids].any() else ids
            for text, ids in zip(texts, arrays, strict=True)
        ]

    def _encode_around(self, text: str) -> Tokens:
        """Ids of a text of which some stretch encodes to a special id although special tokens are off.

        Unigram and word-level models hold their control tokens in the model itself, where switching added tokens off
        does not reach. The stretch is cut in its middle and both sides are encoded; a single character that has no
        other encoding is left out.
        """
        pending, done = [text], []
        while pending:
            part = pending.pop()
            encoding = self._engine.encode(part, add_special_tokens=False)
            ids = np.array(encoding.ids, dtype=self.dtype)
            hits = np.flatnonzero(self._protected[ids])
            if not len(hits):
                done.append(ids)
                continue
            start, stop = encoding.offsets[int(hits[0])]
            if stop - start > 1:
                pending += [part[(start + stop) // 2 :], part[: (start + stop) // 2]]
            else:
                pending += [part[max(stop, start + 1) :], part[:start]]
        return np.concatenate([*done, np.empty(0, self.dtype)])


def load_tokenizer(path: str | Path, end_of_text: str | None = None) -> Tokenizer:
    """The tokenizer in a `tokenizer.json`, loaded once per process and file content.

    Encoding stays on one core unless TOKENIZERS_PARALLELISM is set: the pipeline's unit of parallel work is the split.

    Args:
        path: a Hugging Face `tokenizer.json`.
        end_of_text: the token that closes a document; None looks for END_OF_TEXT_NAMES.

    Raises:
        InputError: the file is missing or is no tokenizer.
        ConfigError: no end-of-text token is known, or the vocabulary does not hold the one given.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        hint = "give the path of a Hugging Face tokenizer.json"
        raise InputError(str(path), f"cannot read the tokenizer: {error.strerror}", hint=hint) from error
    return _load(path, content, end_of_text)


def cut_at_spaces(text: str, size: int) -> Iterator[str]:
    """Consecutive parts of `text`, each starting (the first excepted) at a single space between two ASCII letters.

    A part has at least `size` characters, and more where no such place comes earlier.
    """
    start, position = 0, size
    while position < len(text) - 1:
        position = text.find(" ", position)
        if position < 0:
            break
        around = text[position - 1 : position + 2]
        if len(around) == 3 and around.isascii() and around[0].isalpha() and around[2].isalpha():
            yield text[start:position]
            start, position = position, position + size
        else:
            position += 1
    yield text[start:]


@functools.lru_cache(maxsize=4)
def _load(path: Path, content: bytes, end_of_text: str | None) -> Tokenizer:
    from tokenizers import AddedToken

    engine = _engine(path, content)
    vocabulary: dict[str, int] = engine.get_vocab(with_added_tokens=True)
    size = vocabulary_size(vocabulary, str(path))
    added = engine.get_added_tokens_decoder()
    name = _end_of_text_name(path, vocabulary, [token.content for token in added.values()], end_of_text)
    # Marked special even where the file does not say so (Qwen's <|fim_prefix|>): only these can be switched off.
    control = [name, *(token.content for token in added.values() if _CONTROL.fullmatch(token.content))]
    engine.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    engine.encode_special_tokens = True
    engine.no_padding()
    engine.no_truncation()
    unknown = getattr(engine.model, "unk_token", None)
    special = {token.content: i for i, token in engine.get_added_tokens_decoder().items() if token.special}
    special = {token: i for token, i in sorted(special.items(), key=lambda item: item[1]) if token != unknown}
    protected = np.zeros(size, dtype=np.bool_)
    protected[list(special.values())] = True
    sha256 = hashlib.sha256(content).hexdigest()
    info = TokenizerInfo(
        name=tokenizer_name(path), sha256=sha256, vocabulary_size=size, end_of_text_id=vocabulary[name]
    )
    return Tokenizer(info, name, special, path, engine, protected, _is_cuttable(engine))


def _engine(path: Path, content: bytes) -> Any:
    import tokenizers

    check_survivable(content, str(path))
    try:
        return tokenizers.Tokenizer.from_buffer(content)
    except Exception as error:  # the library raises nothing narrower
        problem = f"is not a tokenizer.json: {' '.join(str(error).split())[:200]}"
        raise InputError(str(path), problem, hint="give the path of a Hugging Face tokenizer.json") from error


def _end_of_text_name(path: Path, vocabulary: dict[str, int], added: list[str], wanted: str | None) -> str:
    if wanted is not None:
        if wanted in vocabulary:
            return wanted
        problem = f"the vocabulary has no end-of-text token '{wanted}'"
        raise ConfigError(str(path), problem, known=added[:20], hint="set end_of_text to one of the tokens it has")
    for name in END_OF_TEXT_NAMES:
        if name in vocabulary:
            return name
    problem = f"no end-of-text token found (tried {', '.join(END_OF_TEXT_NAMES)})"
    raise ConfigError(str(path), problem, known=added[:20], hint="name the token that closes a document: end_of_text")


def _is_cuttable(engine: Any) -> bool:
    """Byte-level pre-tokenizers start a new word at a space before a letter, and no merge crosses words."""
    from tokenizers import pre_tokenizers

    if engine.normalizer is not None or engine.pre_tokenizer is None:
        return False
    if any(" " in token.content for token in engine.get_added_tokens_decoder().values() if not token.special):
        return False
    words = engine.pre_tokenizer.pre_tokenize_str("ab cd")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str("ab cd")
    return bool(words == byte_level)


def _without_surrogates(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
