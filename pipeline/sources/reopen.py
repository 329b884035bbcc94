"""Inputs of a finished run, read again: where they are by now, and which of them cannot be reached any more."""

import dataclasses
from pathlib import Path

from pipeline.contract.config import build
from pipeline.contract.errors import InputError
from pipeline.contract.run import InputFile, RunRecord
from pipeline.sources.read import read_at
from pipeline.sources.record import Record
from pipeline.sources.rows import Columns
from pipeline.storage.files import is_remote, open_read
from pipeline.storage.remote import DEFAULTS, RemoteSettings

_MAX_ATTEMPTS = 3  # it is a look, not a build that would be lost
_MAX_SHOWN = 3


class UnreachableInput(InputError):
    """An input that is not where it was, may not be read, or is on a server that does not answer."""


def locate_input(recorded: InputFile, settings: RemoteSettings = DEFAULTS) -> str:
    """Where an input of a finished run is read: a local one where it was, whatever the working directory is now.

    Where nothing is left there, the path as given is taken if a file of the same size is there: the folder of input and
    run may have been moved as a whole.

    Raises:
        UnreachableInput: there is nothing to read.
    """
    place = recorded.path if is_remote(recorded.path) else recorded.absolute or recorded.path
    few = dataclasses.replace(settings, attempts=min(settings.attempts, _MAX_ATTEMPTS))
    try:
        if not is_remote(place) and not Path(place).exists() and _same_size(recorded):
            place = recorded.path
        open_read(place, few).close()
    except (InputError, OSError) as error:  # OSError: a folder on the way may not be entered
        problem = error.problem if isinstance(error, InputError) else str(error.strerror or error)
        reason = problem if place == recorded.path else f"{place} {problem}"
        raise UnreachableInput(recorded.path, f"cannot be reached ({reason})") from error
    return place


def _same_size(recorded: InputFile) -> bool:
    path = Path(recorded.path)
    return path.is_file() and path.stat().st_size == recorded.bytes


class InputReader:
    """Records of a finished run, by their pointers; whether a file can be reached is asked once.

    Args:
        record: of the run.
        settings: of remote inputs.
    """

    def __init__(self, record: RunRecord, settings: RemoteSettings = DEFAULTS) -> None:
        given = record.config.get("input") or {}
        self._format, self._dump = given.get("format", "auto"), given.get("dump", "")
        self._columns = build(Columns, given.get("columns") or {}, "run.json: input.columns")
        self._inputs, self._settings = {item.path: item for item in record.inputs}, settings
        self._places: dict[str, str | UnreachableInput] = {}

    def read(self, path: str, offset: int, id: str) -> Record:
        """The record called `id` at `offset` of the input `path`.

        Raises:
            UnreachableInput: the input cannot be read any more.
            InputError: it is no input of the run, or holds no such record.
        """
        if path not in self._inputs:
            raise InputError(path, "is no input of this run")
        if path not in self._places:
            self._places[path] = self._find(path)
        place = self._places[path]
        if isinstance(place, UnreachableInput):
            raise place
        return read_at(path, offset, id=id, format=self._format, dump=self._dump, columns=self._columns,
                       settings=self._settings, place=place)  # fmt: skip

    def describe_unreachable(self) -> str:
        """Which inputs could not be reached, to be put behind what was looked at; nothing where all could."""
        lost = [error for error in self._places.values() if isinstance(error, UnreachableInput)]
        if not lost:
            return ""
        shown = [f"{error.place} {error.problem.removeprefix('cannot be reached ')}" for error in lost[:_MAX_SHOWN]]
        more = [f"{len(lost) - _MAX_SHOWN} more"] if len(lost) > _MAX_SHOWN else []
        return f"; {len(lost)} input{'s' if len(lost) > 1 else ''} cannot be reached: {', '.join([*shown, *more])}"

    def _find(self, path: str) -> str | UnreachableInput:
        try:
            return locate_input(self._inputs[path], self._settings)
        except UnreachableInput as error:
            return error
