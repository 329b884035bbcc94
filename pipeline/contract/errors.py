"""Every error tokenmill raises on purpose.

TokenmillError            exit 1: something broke; the message says what
├── IntegrityError        a promise of the contract does not hold (counts, checksums, missing parts)
├── StageError            a stage of the config fails on its pages, or breaks what a stage promises
├── Stopped               a signal ended the work in order (exit 1, or 128 + signal where a command says so)
└── UserError             exit 2: the user can fix it; the message says how
    ├── ConfigError       an unknown key, a wrong type, an impossible value
    ├── InputError        an input that is missing, unreadable or not what it should be
    └── MissingAssetError a model or list that `tokenmill assets fetch` would bring
"""

import difflib
import re
from collections.abc import Iterable

# What a message quotes may come from a stranger's file. Line ends of our own are followed by two spaces.
_UNSHOWABLE = re.compile(
    r"\n(?!  )|[^\n\x20-\x7e\xa0-\U0010ffff]|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_LONGEST_LINE = 600
_LONGEST_NAME = 100


class TokenmillError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what the command returns."""

    exit_code = 1

    def __str__(self) -> str:
        return shown(super().__str__())


class IntegrityError(TokenmillError):
    """Counts that do not add up, a checksum that differs, a part that is missing."""


class StageError(TokenmillError):
    """A stage that is broken: every line but the first is indented."""


class Stopped(TokenmillError):
    """A signal ended the work in order; commands print the message behind "stopped by"."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class UserError(TokenmillError):
    """A mistake the user can fix.

    Args:
        place: where it is: a file, a config key, a command-line option.
        problem: what is wrong, with the offending value.
        known: the values that would have been right, if they can be listed.
        hint: what to do about it.
    """

    exit_code = 2

    def __init__(self, place: str, problem: str, *, known: Iterable[str] = (), hint: str | None = None) -> None:
        self.place, self.problem, self.known, self.hint = place, problem, tuple(known), hint
        super().__init__(place, problem, self.known, hint)

    def __str__(self) -> str:
        lines = [f"{shown(self.place)}: {shown(self.problem)}"]
        if self.known:
            lines.append(shown(f"known: {', '.join(shown(name, _LONGEST_NAME) for name in self.known)}"))
        if self.hint:
            lines.append(shown(self.hint))
        return "\n  ".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.place, self.problem, self.known, self.hint)


class ConfigError(UserError):
    """A config that cannot be run."""


class InputError(UserError):
    """An input that is missing, unreadable or of the wrong kind."""


class MissingAssetError(UserError):
    """A file that `tokenmill assets fetch` would bring is not there."""


def shown(text: str, most: int = _LONGEST_LINE) -> str:
    """A text fit for a message: what a terminal would act upon as escapes, lines of more than `most` characters cut."""
    safe = _UNSHOWABLE.sub(lambda found: ascii(found[0])[1:-1], text)
    return "\n".join(
        line if len(line) <= most else f"{line[: most - 50]} ... {line[-40:]}" for line in safe.split("\n")
    )


def _rebuild(cls: type[UserError], place: str, problem: str, known: tuple[str, ...], hint: str | None) -> UserError:
    """Unpickle a UserError: keyword-only arguments need more than `Exception.args`."""
    return cls(place, problem, known=known, hint=hint)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The hint for a misspelt name, or None when nothing is close."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean '{match[0]}'?" if match else None
