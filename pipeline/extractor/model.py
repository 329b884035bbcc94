"""The numbers of a learned extractor: scores of tokens, trees, and what a page is decided by; one file."""

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.contract.errors import InputError
from pipeline.extractor.features import NAMES, TOKENS
from pipeline.extractor.loops_decide import LINK_LIMIT, LINK_SHIFT, LINK_SIZE, ONE
from pipeline.text.machine_code import I32

MAGIC: Final = b"tokenmill extractor 1\n"
_FOLDER = Path(__file__).parent / "models"
_ARRAYS = ("scores", "roots", "nodes", "leaves", "link")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A learned extractor; whole numbers, so that a page has the same text on every machine."""

    scores: I32
    """Of each token, shape (TOKENS,)."""
    roots: I32
    """First node of each tree."""
    nodes: I32
    """Shape (nodes, 4): feature, highest value that goes left, left child, right child; below 0 a leaf."""
    leaves: I32
    """In parts of ONE, as log-odds."""
    link: I32
    """Probabilities by log-odds, in parts of ONE, shape (LINK_SIZE,)."""
    base: int
    """Log-odds before any tree, in parts of ONE."""
    lowest: int
    """The threshold of a page is at least this, in parts of ONE,"""
    highest: int
    """and at most this."""
    facts: Mapping[str, Any]
    """What it was trained on: for people."""

    def __post_init__(self) -> None:
        nodes = self.nodes.reshape(-1, 4)
        children = nodes[:, 2:]
        above = np.arange(len(nodes))[:, None]
        sound = (
            self.scores.shape == (TOKENS,)
            and self.link.shape == (LINK_SIZE,)
            and bool(((self.link >= 0) & (self.link <= ONE)).all())
            and bool(((nodes[:, 0] >= 0) & (nodes[:, 0] < len(NAMES))).all())
            and bool(((children > above) | (children < 0)).all())  # no circle
            and bool(((children < len(nodes)) & (children >= -len(self.leaves))).all())
            and bool(((self.roots >= -len(self.leaves)) & (self.roots < len(nodes))).all())
            and 0 <= self.lowest <= self.highest <= ONE
        )
        if not sound:
            raise ValueError("its numbers do not fit together")

    def to_bytes(self) -> bytes:
        """The file: MAGIC, a line of JSON, the arrays as little-endian int32."""
        arrays = {name: np.ascontiguousarray(getattr(self, name), "<i4") for name in _ARRAYS}
        head = {
            "features": features_digest(), "base": self.base, "lowest": self.lowest, "highest": self.highest,
            "sizes": {name: int(array.size) for name, array in arrays.items()}, "facts": dict(self.facts),
        }  # fmt: skip
        line = json.dumps(head, sort_keys=True, ensure_ascii=True).encode() + b"\n"
        return MAGIC + line + b"".join(array.tobytes() for array in arrays.values())


def features_digest() -> str:
    """A short hash of the names of the features: a model of other features is refused."""
    return hashlib.sha256(" ".join(NAMES).encode()).hexdigest()[:16]


def logistic_link() -> I32:
    """The logistic function in steps, in parts of ONE; part of the model: libraries differ in the last bit of exp."""
    middles = (np.arange(LINK_SIZE) * (1 << LINK_SHIFT) + (1 << LINK_SHIFT) // 2 - LINK_LIMIT) / ONE
    return np.array([round(ONE / (1 + math.exp(-value))) for value in middles], np.int32)


def from_bytes(data: bytes, name: str) -> Model:
    """A model from its file's bytes.

    Raises:
        InputError: they are no model, are cut short, or are of another version of the features.
    """
    hint = "give a file written by `tokenmill extractor train`"
    if not data.startswith(MAGIC):
        raise InputError(name, f"is no extractor model: begins with {data[: len(MAGIC)]!r}", hint=hint)
    line, _, body = data[len(MAGIC) :].partition(b"\n")
    try:
        head = json.loads(line)
        if head["features"] != features_digest():
            raise InputError(name, "was trained on other features than this version has", hint="train it anew")
        numbers = np.frombuffer(body, "<i4")
        cuts = np.cumsum([head["sizes"][array] for array in _ARRAYS])
        if len(numbers) != cuts[-1]:
            raise InputError(name, f"holds {len(numbers)} numbers instead of {cuts[-1]}", hint="the file is cut short")
        arrays = [np.ascontiguousarray(part, np.int32) for part in np.split(numbers, cuts[:-1])]
        fields = dict(zip(_ARRAYS, arrays, strict=True))
        fields["nodes"] = fields["nodes"].reshape(-1, 4)
        return Model(**fields, base=head["base"], lowest=head["lowest"], highest=head["highest"], facts=head["facts"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(name, f"is no sound extractor model: {error}", hint=hint) from error


@functools.cache
def load(name: str) -> Model:
    """The model of a file, or one of those that come with the package, by name.

    Raises:
        InputError: there is none, or it is damaged.
    """
    shipped = _FOLDER / f"{name}.model"
    path = shipped if shipped.is_file() else Path(name)
    try:
        data = path.read_bytes()
    except OSError as error:
        known = ", ".join(sorted(file.stem for file in _FOLDER.glob("*.model")))
        raise InputError(name, f"cannot be read: {error.strerror}", hint=f"give a file, or one of {known}") from error
    return from_bytes(data, name)
