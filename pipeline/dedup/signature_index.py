"""What a run leaves for later ones to be compared with (`dedup.previous_runs`): signatures of the documents it kept.

An index file is a signature file (see `signing`) whose rows are those of OUT/documents, in the same order. `order` is
0: documents of previous runs stay.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.contract.config import differences, resolved
from pipeline.dedup.array_file import ArrayFile
from pipeline.dedup.config import DedupConfig
from pipeline.dedup.sorted_runs import step_for

INDEX_VERSION = 1
"""Raised when equal documents no longer have equal signatures."""
_DECIDES = ("normalize", "scope", "minhash")
_DECIDES_LATER = ("verify",)
Rows = npt.NDArray[np.int64]


def compact(signature: ArrayFile, kept: Rows) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an index file: those of a signature file, for the documents at `kept` alone.

    Args:
        signature: of a group of documents.
        kept: rows, ascending.
    """
    number = np.full(signature.rows("order"), -1, np.int64)
    number[kept] = np.arange(len(kept))
    arrays: dict[str, npt.NDArray[Any]] = {}
    for run in ("digest", "band"):
        if f"{run}.row" not in signature:
            continue
        rows = number[signature.read(f"{run}.row")]
        stays = rows >= 0
        for name in (f"{run}.key", f"{run}.low"):
            if name in signature:
                arrays[name] = signature.read(name)[stays]
        keys = arrays[f"{run}.key"]
        arrays[f"{run}.row"] = rows[stays].astype(np.uint32)
        arrays[f"{run}.samples"] = keys[:: step_for(len(keys))]
    arrays["order"] = np.zeros(len(kept), np.uint64)
    if "sketch" in signature:
        arrays["sketch"] = signature.read("sketch")[kept]
    return arrays


def signature_differences(old: Mapping[str, Any], config: DedupConfig) -> list[str]:
    """Every key whose value makes the signatures of two runs incomparable, as `dedup.minhash.bands: 14 -> 20`.

    Args:
        old: the section `dedup` of the earlier run, as resolved.
        config: of the new one.
    """
    before, after = (_decisive(tree) for tree in (old, resolved(config)))
    return differences(before, after, "dedup")


def _decisive(tree: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: tree.get(name) for name in _DECIDES}
    if isinstance(minhash := found["minhash"], Mapping):
        found["minhash"] = {name: value for name, value in minhash.items() if name not in _DECIDES_LATER}
    return found
