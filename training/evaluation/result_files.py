"""Where the results of evaluations lie: each in a file of its own, none over another."""

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.contract.manifest import write_json

LATEST = "latest.json"
_LONGEST = 80
"""Characters of a name that say what was measured."""


def write_results(results: Any, folder: Path, step: str, texts: Sequence[str], tasks: Sequence[str]) -> Path:
    """Write `folder/STEP-WHAT.json`, or `STEP-WHAT-2.json` and so on where that is there; `latest.json` leads to it.

    Args:
        step: the checkpoint's name.
        texts: the paths whose bits per byte were measured.
        tasks: the names of the benchmarks.

    Returns:
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = _claim(folder, "-".join([step, name_of_measured([*map(_name, texts), *tasks])]))
    write_json(path, results)
    _point(folder / LATEST, path.name)
    return path


def name_of_measured(names: Sequence[str]) -> str:
    """What was measured, as a part of a file name."""
    return "-".join(re.sub(r"[^A-Za-z0-9_.]+", "_", name) for name in names)[:_LONGEST]


def _name(text: str) -> str:
    """`data` of `runs/data`, `runs/data/tokens` and `data.jsonl`."""
    path = Path(text).resolve()
    return path.parent.name if path.name == "tokens" else path.stem


def _claim(folder: Path, stem: str) -> Path:
    """A new, empty file: two evaluations at the same time get one each."""
    number = 1
    while True:
        path = folder / (f"{stem}.json" if number == 1 else f"{stem}-{number}.json")
        with contextlib.suppress(FileExistsError), path.open("x"):
            return path
        number += 1


def _point(link: Path, name: str) -> None:
    """Make `link` lead to its neighbour `name`, at once; not where the disk knows no links."""
    temporary = link.with_name(f".{link.name}.{os.getpid()}.tmp")
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(name)
        temporary.replace(link)
