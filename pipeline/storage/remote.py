"""Files that are not on this machine: read by ranges, tried again when the store stumbles, read ahead.

`https://` goes through the standard library, because fsspec's http reports a 503 as a missing file and does not say
when a server ignores ranges. Everything else (`s3://`, `gs://`, `memory://` ...) goes through fsspec.
"""

import dataclasses
import io
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from pipeline.contract.errors import InputError, UserError
from pipeline.storage.store import Store, TransientError

T = TypeVar("T")

FIRST_BLOCK = 1 << 16  # two records of Common Crawl: what following a pointer needs
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RemoteSettings:
    """How to treat stores and servers. None of it changes what is read."""

    attempts: int = 8
    """How often a request is tried before it counts as failed; progress starts the count again."""
    first_wait: float = 0.5
    """Seconds before the second attempt; doubled for each further one, drawn between nothing and that."""
    longest_wait: float = 60.0
    """Seconds at most between two attempts."""
    timeout: float = 60.0
    """Seconds without a byte after which a connection counts as broken."""
    block_bytes: int = 8_388_608
    """Bytes of one request of a file read from front to back; the next block is fetched meanwhile."""
    bytes_per_second: float | None = None
    """Limit on what one process reads, on average; null for none."""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Storage options handed to fsspec, such as `endpoint_url`, `anon` or `profile` for s3."""

    def __post_init__(self) -> None:
        for name in ("attempts", "block_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}")
        for name in ("first_wait", "longest_wait"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: must be at least 0, got {getattr(self, name)}")
        if self.timeout <= 0:
            raise ValueError(f"timeout: must be above 0, got {self.timeout}")
        if self.bytes_per_second is not None and self.bytes_per_second <= 0:
            raise ValueError(f"bytes_per_second: must be above 0, got {self.bytes_per_second}")


DEFAULTS = RemoteSettings()


def is_remote(path: str | Path) -> bool:
    """Whether a path has a scheme (`s3://`, `https://`, `file://` ...)."""
    return isinstance(path, str) and _SCHEME.match(path) is not None


@dataclasses.dataclass(frozen=True, slots=True)
class Remote:
    """A Store that tries again and says what is wrong in the user's terms."""

    path: str
    store: Store
    settings: RemoteSettings

    def exists(self) -> bool:
        """Whether there is such a file."""
        try:
            self._call(self.store.size_and_etag)
        except FileNotFoundError:
            return False
        return True

    def size_and_etag(self) -> tuple[int, str | None]:
        """See Store; raises InputError."""
        return self._read(self.store.size_and_etag)

    def listing(self) -> list[tuple[str, int, str | None]]:
        """See Store; nothing where nothing matches."""
        try:
            return self._call(self.store.listing)
        except FileNotFoundError:
            return []

    def read(self, start: int, end: int) -> bytes:
        """Bytes [start, end), from where a broken attempt stopped; raises InputError."""
        kept = bytearray()
        failures = 0
        while len(kept) < end - start:
            before = len(kept)
            try:
                self._read(lambda: self.store.read_into(kept, start + len(kept), end), attempts=1)
                if len(kept) == before:
                    raise TransientError("the store sent nothing")
            except TransientError as error:
                failures = 1 if len(kept) > before else failures + 1
                self._wait(failures, error)
        throttle(len(kept), self.settings.bytes_per_second)
        return bytes(kept)

    def put(self, local: Path) -> None:
        """See Store; raises UserError."""
        self._write(lambda: self.store.put(local))

    def remove(self) -> None:
        """See Store; raises UserError."""
        self._write(self.store.remove)

    def _read(self, act: Callable[[], T], attempts: int | None = None) -> T:
        try:
            return self._call(act, attempts)
        except FileNotFoundError as error:
            raise InputError(self.path, "does not exist") from error

    def _write(self, act: Callable[[], T]) -> T:
        try:
            return self._call(act)
        except FileNotFoundError as error:
            raise UserError(self.path, f"cannot be written: {error}", hint="check the bucket's name") from error

    def _call(self, act: Callable[[], T], attempts: int | None = None) -> T:
        failures = 0
        while True:
            try:
                return act()
            except PermissionError as error:
                hint = "check the credentials (for s3: AWS_PROFILE, AWS_ACCESS_KEY_ID ...) and what they may do"
                raise InputError(self.path, f"access is refused: {_reason(error)}", hint=hint) from error
            except TransientError as error:
                if attempts == 1:
                    raise
                failures += 1
                self._wait(failures, error)

    def _wait(self, failures: int, error: Exception) -> None:
        """Sleep before the next attempt, or give up. Full jitter, so that many workers do not come back together."""
        if failures >= self.settings.attempts:
            problem = f"failed {failures} times, at last with: {_reason(error)}"
            raise InputError(self.path, problem, hint="try again later; what was committed before is intact") from error
        limit = min(self.settings.longest_wait, self.settings.first_wait * 2 ** (failures - 1))
        time.sleep(random.SystemRandom().uniform(0, limit))


def remote(path: str | Path, settings: RemoteSettings = DEFAULTS) -> Remote:
    """The remote file at `path`."""
    path = str(path)
    if path.lower().startswith(("http://", "https://")):
        from pipeline.storage.web import WebFile

        return Remote(path, WebFile(path, settings.timeout), settings)
    from pipeline.storage.objects import ObjectFile

    return Remote(path, ObjectFile(path, settings.options, settings.timeout), settings)


class RangeReader(io.RawIOBase):
    """A remote file as a seekable stream. Blocks grow while it is read front to back; the next one comes meanwhile."""

    def __init__(self, path: str, settings: RemoteSettings = DEFAULTS) -> None:
        super().__init__()
        self._remote = remote(path, settings)
        self.size, _ = self._remote.size_and_etag()
        self._position = 0
        self._blocks: list[tuple[int, bytes]] = []  # the last two: readers look back a little over a block's edge
        self._length = FIRST_BLOCK
        self._ahead: Future[bytes] | None = None
        self._ahead_at = -1
        self._thread: ThreadPoolExecutor | None = None

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """The position."""
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move; costs nothing until the next read."""
        base = (0, self._position, self.size)[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, target: Any) -> int:
        """Fill `target` as far as the block at hand goes."""
        data = self._at_hand()[: len(target)]
        target[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        """Forget what is under way."""
        if self._thread:
            self._thread.shutdown(wait=False, cancel_futures=True)
        super().close()

    def _at_hand(self) -> memoryview:
        for at, block in reversed(self._blocks):
            if at <= self._position < at + len(block):
                return memoryview(block)[self._position - at :]
        if self._position >= self.size:
            return memoryview(b"")
        return memoryview(self._load())

    def _load(self) -> bytes:
        """The block at the position."""
        at, last = self._blocks[-1] if self._blocks else (0, b"")
        onward = bool(last) and self._position == at + len(last)
        if onward and self._ahead is not None and self._ahead_at == self._position:
            block = self._ahead.result()
        else:
            self._length = min(self._length * 2, self._remote.settings.block_bytes) if onward else FIRST_BLOCK
            block = self._fetch(self._position, self._length)
        self._ahead = None
        self._blocks = [*self._blocks[-1:], (self._position, block)]
        if onward:
            self._fetch_ahead(self._position + len(block))
        return block

    def _fetch_ahead(self, start: int) -> None:
        if start >= self.size:
            return
        self._length = min(self._length * 2, self._remote.settings.block_bytes)
        self._thread = self._thread or ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        self._ahead, self._ahead_at = self._thread.submit(self._fetch, start, self._length), start

    def _fetch(self, start: int, length: int) -> bytes:
        return self._remote.read(start, min(start + length, self.size))


_pace_lock = threading.Lock()
_pace_free_at = 0.0


def throttle(count: int, bytes_per_second: float | None) -> None:
    """Sleep so that this process reads no faster than asked, on average."""
    global _pace_free_at  # one line out of the machine, however many readers
    if bytes_per_second is None:
        return
    with _pace_lock:
        now = time.monotonic()
        wait = _pace_free_at - now
        _pace_free_at = max(_pace_free_at, now) + count / bytes_per_second
    if wait > 0:
        time.sleep(wait)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:300]
