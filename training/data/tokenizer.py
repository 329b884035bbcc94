"""The tokenizer a model was trained with: found, checked, and measured in bytes."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from pipeline.contract.errors import InputError
from pipeline.contract.manifest import TokenizerInfo, sha256_file
from pipeline.contract.vocabulary import check_survivable, tokenizer_name, vocabulary_size

_BYTE_TOKEN = re.compile(r"<0x[0-9A-Fa-f]{2}>")


def read_tokenizer(path: str | None, tokens_folder: Path, info: TokenizerInfo) -> bytes:
    """The content of the tokenizer.json that `tokens_folder`'s shards were made with.

    Args:
        path: where the config says it is; None: beside the shards.
        info: what their manifest says about it.

    Raises:
        InputError: it is missing, or another than the shards were made with.
    """
    file = tokens_folder / "tokenizer.json" if path is None else Path(path)
    try:
        content = file.read_bytes()
    except OSError as error:
        hint = f"set data.tokenizer to the tokenizer.json of '{info.name}'"
        raise InputError(str(file), f"cannot be read: {error.strerror}", hint=hint) from error
    if (found := hashlib.sha256(content).hexdigest()) != info.sha256:
        problem = (
            f"is '{tokenizer_name(file)}' (SHA-256 {found[:12]}...), and the shards in {tokens_folder} were made with "
            f"'{info.name}' (SHA-256 {info.sha256[:12]}..., {info.vocabulary_size:,} ids)"
        )
        raise InputError(str(file), problem, hint=_right_one(path, tokens_folder, info))
    return content


def _right_one(path: str | None, tokens_folder: Path, info: TokenizerInfo) -> str:
    """Where the tokenizer of the shards is, when the one given is another."""
    own = tokens_folder / "tokenizer.json"
    if path is not None and own.is_file() and sha256_file(own) == info.sha256:
        return f"leave data.tokenizer out: the shards' own is {own}"
    before = "it was changed after the build: " if path is None else ""
    return f"{before}set data.tokenizer to the tokenizer.json of '{info.name}'"


def parse_tokenizer(content: bytes, place: str) -> Tokenizer:
    """The tokenizer in the bytes of a tokenizer.json; `place` names them in errors.

    Raises:
        InputError: they are not one.
    """
    check_survivable(content, place)
    try:
        tokenizer = Tokenizer.from_str(content.decode())
    except Exception as error:  # the library raises nothing narrower
        raise InputError(place, f"is not a tokenizer.json: {error}") from error
    vocabulary_size(tokenizer.get_vocab(with_added_tokens=True), place)
    return tokenizer


def byte_lengths(tokenizer: Tokenizer, size: int) -> npt.NDArray[np.int64] | None:
    """How many UTF-8 bytes of text each id stands for, shape (size,); 0 for special tokens and unused ids.

    None when the tokenizer is neither byte-level (GPT-2, Llama 3) nor of the SentencePiece kind (Llama 2): what its ids
    stand for cannot be told from their names.
    """
    tree = json.loads(tokenizer.to_str())
    kinds = {kind for part in ("pre_tokenizer", "decoder", "normalizer") for kind in _kinds(tree.get(part))}
    if "ByteLevel" not in kinds and not ({"Metaspace", "ByteFallback"} & kinds):
        return None
    lengths = np.zeros(size, dtype=np.int64)
    for piece, number in tokenizer.get_vocab(with_added_tokens=False).items():
        if number < size:
            lengths[number] = len(piece) if "ByteLevel" in kinds else _sentencepiece_bytes(piece)
    for number, token in tokenizer.get_added_tokens_decoder().items():
        if number < size:
            lengths[number] = 0 if token.special else len(token.content.encode())
    return lengths


def _sentencepiece_bytes(piece: str) -> int:
    return 1 if _BYTE_TOKEN.fullmatch(piece) else len(piece.replace("\u2581", " ").encode())


def _kinds(part: Any) -> set[str]:
    """The `type` of a component of a tokenizer.json and of those inside it."""
    if isinstance(part, list):
        return {kind for item in part for kind in _kinds(item)}
    if not isinstance(part, dict):
        return set()
    inner = {kind for value in part.values() if isinstance(value, (dict, list)) for kind in _kinds(value)}
    return inner | ({str(part["type"])} if "type" in part else set())
