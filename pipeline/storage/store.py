"""What every kind of remote file offers, and the failure that is worth another attempt."""

from pathlib import Path
from typing import Protocol


class TransientError(OSError):
    """A failure worth another attempt."""


class Store(Protocol):
    """One remote file (or, for `listing`, pattern). A call is one attempt; TransientError where another may help.

    Raises:
        FileNotFoundError: there is no such file.
        PermissionError: it may not be touched; retrying would not help.
    """

    def size_and_etag(self) -> tuple[int, str | None]:
        """Bytes and the store's name for the content."""

    def read_into(self, kept: bytearray, start: int, end: int) -> None:
        """Append bytes [start, end) to `kept`; what came before a failure is kept too."""

    def listing(self) -> list[tuple[str, int, str | None]]:
        """(path, bytes, etag) of the files the pattern names."""

    def put(self, local: Path) -> None:
        """Replace the file by a local one, as a whole."""

    def remove(self) -> None:
        """Delete the file; nothing happens where there is none."""
