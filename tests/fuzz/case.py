"""What a target is given and what it hands back."""

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path

from pipeline.contract.errors import IntegrityError, UserError
from pipeline.report.printable import printable

MAX_CHARACTERS = 2000
"""Of a message: what it quotes of an input must not fill a screen."""


class Broken(AssertionError):
    """A promise that an input broke."""


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One input under way: the same for the same seed, target and number."""

    draw: random.Random
    folder: Path
    """Empty at the start; what lies in it is kept if the input breaks something."""

    def file(self, name: str, data: bytes) -> Path:
        """Write a file of the input."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """Something that must take any input."""

    name: str
    run: Callable[[Case], str]
    """Makes an input, tries it, and says in a word or two what came of it; raises for what must not come of it."""
    warm_up: Callable[[], object] = lambda: None
    """Loads models and makes seeds; on no input's account."""


def promise(holds: object, what: str) -> None:
    """Raise Broken unless it holds."""
    if not holds:
        raise Broken(what)


def refused(error: Exception) -> str:
    """The word for an error raised on purpose, once its message is seen to be one a person can use."""
    if not isinstance(error, (UserError, IntegrityError)):
        raise error
    lines = str(error).split("\n")
    most = 1 + bool(error.known) + bool(error.hint) if isinstance(error, UserError) else 1
    promise(lines[0].strip() and len(lines) <= most, f"not one line, but {lines}")
    promise(all(printable(line) == line for line in lines), f"cannot be printed: {str(error)!r}")
    promise(len(str(error)) <= MAX_CHARACTERS, f"a message of {len(str(error))} characters: {str(error)[:300]!r}")
    return type(error).__name__
