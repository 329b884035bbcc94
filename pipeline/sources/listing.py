"""What a run reads: paths, folders and globs, or Common Crawl's own list of a crawl's files."""

import dataclasses
import errno
import functools
import gzip
import hashlib
import heapq
import os
import re
import stat as stat_module
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from pipeline.contract.errors import InputError
from pipeline.sources.read import SUFFIXES, Format, format_of
from pipeline.sources.warc.reader import dump_of
from pipeline.storage.files import FileStat, is_remote, list_files, read_bytes, stat
from pipeline.storage.remote import DEFAULTS, RemoteSettings

_THREADS = 32  # a listing has up to 90,000 files, and each size is a request
_KINDS = {
    stat_module.S_IFIFO: "a pipe (FIFO)", stat_module.S_IFSOCK: "a socket", stat_module.S_IFCHR: "a device",
    stat_module.S_IFBLK: "a device",
}  # fmt: skip
_PERMISSION = "change its permissions, or run as a user who may read it"
_CRAWL = re.compile(r"CC-(?:MAIN|NEWS)-[0-9A-Za-z-]{4,40}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """One file to read."""

    path: str
    bytes: int
    format: Format
    etag: str | None = None
    """Of an object store; None for a local file."""
    dump: str = ""
    """The crawl named in its path."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CrawlListing:
    """Files of one Common Crawl dump, taken from its own list of them."""

    crawl: str
    """The dump, such as CC-MAIN-2024-10."""
    kind: Literal["warc", "wet", "wat"] = "warc"
    """Pages (warc), Common Crawl's own extracted text (wet), or metadata (wat)."""
    base: str = "https://data.commoncrawl.org/"
    """Where the files are: that address, s3://commoncrawl/, or a mirror or folder laid out like them."""
    first: int | None = None
    """Take only so many from the front of the list."""
    sample: int | None = None
    """Take so many by chance instead: the same ones for the same seed."""
    seed: int = 0
    """Of the sample."""

    def __post_init__(self) -> None:
        if not _CRAWL.fullmatch(self.crawl):
            raise ValueError(f"crawl: must be a name such as CC-MAIN-2024-10, got '{self.crawl}'")
        for name in ("first", "sample"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: must be at least 1, got {value}")
        if self.first is not None and self.sample is not None:
            raise ValueError("first and sample: give one of the two, not both")

    @property
    def address(self) -> str:
        """Of the list."""
        return f"{self.base.rstrip('/')}/crawl-data/{self.crawl}/{self.kind}.paths.gz"


def listed_paths(listing: CrawlListing, settings: RemoteSettings = DEFAULTS) -> list[str]:
    """The addresses a listing stands for, sorted.

    Raises:
        InputError: the list cannot be read, is no list, or is shorter than what is asked of it.
    """
    names = _read_list(listing, settings)
    wanted = listing.first or listing.sample
    if wanted is not None and wanted > len(names):
        raise InputError(listing.address, f"lists {len(names)} files, {wanted} were asked for")
    if listing.first is not None:
        names = names[: listing.first]
    if listing.sample is not None:
        names = heapq.nsmallest(listing.sample, names, key=lambda name: (_draw(listing.seed, name), name))
    base = listing.base.rstrip("/")
    return sorted(f"{base}/{name}" for name in names)


def expand(
    paths: Sequence[str] | None = None,
    *,
    listing: CrawlListing | None = None,
    format: str = "auto",
    settings: RemoteSettings = DEFAULTS,
    output: str | None = None,
) -> list[Input]:
    """What to read, sorted by path, each file once.

    Args:
        paths: files, folders, globs (`**` crosses folders), or addresses. In folders, files that are no input by
            their name are left out; a file named outright, or by a glob, has to be one.
        listing: a crawl's list, besides.
        format: what the files are; `auto` goes by their names.
        settings: of remote files.
        output: the run folder; nothing in it is an input of its own run.

    Raises:
        InputError: nothing is given, a path matches nothing (the message says why), a name does not say what it is,
            a list cannot be read.
    """
    if not paths and listing is None:
        raise InputError("input", "names nothing to read", hint="give --input GLOB, input.paths or input.listing")
    found: dict[str, FileStat] = {}
    for path in paths or ():
        found.update((item.path, item) for item in _matches(path, format, settings, output))
    if listing is not None:
        found.update((item.path, item) for item in _stat_all(listed_paths(listing, settings), settings))
    return [
        Input(
            path=item.path, bytes=item.bytes, format=format_of(item.path, format), etag=item.etag,
            dump=dump_of(item.path),
        )
        for item in sorted(found.values(), key=lambda item: item.path)
    ]  # fmt: skip


def _matches(path: str, format: str, settings: RemoteSettings, output: str | None) -> list[FileStat]:
    if not path.strip():
        raise InputError("input.paths", "an empty path", hint="give a file, a folder or a glob")
    found = list_files(path, settings)
    in_folder = len(found) != 1 or found[0].path != path
    if output is not None and found and in_folder and not is_remote(path):
        found = _outside(path, found, output)
    if in_folder and not is_remote(path):
        found = _once_each(found)
    listed = len(found)
    if format == "auto" and in_folder and not any(sign in path for sign in "*?["):
        found = [item for item in found if _is_input(item.path)]
        if not is_remote(path):
            _refuse_runs(path, found)
    if not found:
        raise _nothing_found(path, listed)
    return found


def _outside(path: str, found: list[FileStat], output: str) -> list[FileStat]:
    """Those of the files that a folder or glob found that are not in the run folder.

    A run folder among its inputs would read itself when it is resumed. Named outright, a file is what was asked for.
    """
    real, out = functools.cache(os.path.realpath), Path(output).resolve()
    outside = [item for item in found if not Path(real(Path(item.path).parent)).is_relative_to(out)]
    if not outside:
        problem = f"every file it names lies in the run folder {output}, and nothing in that is an input of its own run"
        raise InputError(path, problem, hint="give an --output outside of what is read")
    return outside


def _refuse_runs(path: str, found: list[FileStat]) -> None:
    """Raise InputError where a folder holds a run folder: its tables, and what it dropped, would be read as inputs."""
    top = Path(path)
    for folder in sorted({parent for item in found for parent in Path(item.path).parents}):
        if folder.is_relative_to(top) and folder != top and (folder / "run.json").is_file():
            raise InputError(path, f"holds the run folder {folder}, whose tables would be read as inputs",
                             hint="move it elsewhere, or name the inputs by a glob")  # fmt: skip


def _once_each(found: list[FileStat]) -> list[FileStat]:
    """Each file under its shortest name: links among folders may lead to one by many ways, or round in circles."""
    real = functools.cache(os.path.realpath)
    first: dict[tuple[str, str], FileStat] = {}
    for item in sorted(found, key=lambda item: (item.path.count("/"), item.path)):
        folder, _, name = item.path.rpartition("/")
        first.setdefault((real(folder), name), item)
    return sorted(first.values(), key=lambda item: item.path)


def _nothing_found(path: str, listed: int) -> InputError:
    """Why a path, folder or glob names no input."""
    if is_remote(path):
        return InputError(path, "no file matches")
    local = Path(path).expanduser()
    try:
        mode = local.stat().st_mode
    except OSError as error:
        if error.errno == errno.ELOOP:
            return InputError(path, "is a loop of symbolic links", hint="give the file or folder itself")
        if local.is_symlink():
            return InputError(path, f"is a symbolic link to {local.readlink()}, which does not exist")
        if isinstance(error, PermissionError):
            return InputError(path, "cannot be looked at: Permission denied", hint=_PERMISSION)
        glob_hint = "quote the glob, so that the shell hands it on as it is" if "*" in path else None
        return InputError(path, "no file matches", hint=glob_hint)
    if stat_module.S_ISDIR(mode):
        return _nothing_in(path, local, listed)
    hint = "write what it gives to a file: a run reads its inputs again when it is resumed"
    return InputError(path, f"is {_KINDS.get(stat_module.S_IFMT(mode), 'no file')}, not a file", hint=hint)


def _nothing_in(path: str, folder: Path, listed: int) -> InputError:
    closed = _first_closed(folder)
    if closed is not None:
        return InputError(path, f"cannot be listed: {closed} gives no permission", hint=_PERMISSION)
    if listed:
        known = sorted(SUFFIXES)
        return InputError(path, f"holds {listed} files, and none is an input by its name", known=known,
                          hint="name them by a glob, and set input.format")  # fmt: skip
    return InputError(path, "is an empty folder", hint="give a folder with WARC, parquet or jsonl files")


def _first_closed(folder: Path) -> Path | None:
    """A folder below `folder`, itself included, that may not be listed."""
    closed: list[Path] = []
    for _ in os.walk(folder, onerror=lambda error: closed.append(Path(str(error.filename)))):
        if closed:
            break
    return closed[0] if closed else None


def _is_input(path: str) -> bool:
    try:
        format_of(path)
    except InputError:
        return False
    return True


def _stat_all(paths: Iterable[str], settings: RemoteSettings) -> list[FileStat]:
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="stat") as pool:
        return list(pool.map(lambda path: stat(path, settings), paths))


def _read_list(listing: CrawlListing, settings: RemoteSettings) -> list[str]:
    data = read_bytes(listing.address, settings)
    try:
        text = gzip.decompress(data).decode("utf-8")
    except (OSError, EOFError, ValueError) as error:
        raise InputError(listing.address, f"is not a gzip list of paths: {error}") from error
    names = [line.strip() for line in text.splitlines() if line.strip()]
    # The list comes from a server, and its lines become paths: none may lead out of the base.
    bad = next((name for name in names if name.startswith("/") or "://" in name or ".." in name.split("/")), None)
    if bad is not None or not names:
        raise InputError(listing.address, f"is not a list of paths: {f'line {bad!r}' if bad else 'it is empty'}")
    return names


def _draw(seed: int, name: str) -> bytes:
    key = seed.to_bytes(16, "little", signed=True)
    return hashlib.blake2b(name.encode(), key=key, digest_size=16).digest()
