"""What a run reads: paths, folders and globs, or Common Crawl's own list of a crawl's files."""

import dataclasses
import gzip
import hashlib
import heapq
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from pipeline.contract.errors import InputError
from pipeline.sources.read import Format, format_of
from pipeline.sources.warc import dump_of
from pipeline.storage.files import FileStat, is_remote, list_files, read_bytes, stat
from pipeline.storage.remote import DEFAULTS, RemoteSettings

_THREADS = 32  # a listing has up to 90,000 files, and each size is a request
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
) -> list[Input]:
    """What to read, sorted by path, each file once.

    Args:
        paths: files, folders, globs (`**` crosses folders), or addresses. In folders, files that are no input by
            their name are left out; a file named outright, or by a glob, has to be one.
        listing: a crawl's list, besides.
        format: what the files are; `auto` goes by their names.
        settings: of remote files.

    Raises:
        InputError: nothing is given, a path matches nothing, a name does not say what it is, a list cannot be read.
    """
    if not paths and listing is None:
        raise InputError("input", "names nothing to read", mend="give --input GLOB, input.paths or input.listing")
    found: dict[str, FileStat] = {}
    for path in paths or ():
        found.update((item.path, item) for item in _matches(path, format, settings))
    if listing is not None:
        found.update((item.path, item) for item in _stat_all(listed_paths(listing, settings), settings))
    return [
        Input(
            path=item.path, bytes=item.bytes, format=format_of(item.path, format), etag=item.etag,
            dump=dump_of(item.path),
        )
        for item in sorted(found.values(), key=lambda item: item.path)
    ]  # fmt: skip


def _matches(path: str, format: str, settings: RemoteSettings) -> list[FileStat]:
    if not path.strip():
        raise InputError("input.paths", "an empty path", mend="give a file, a folder or a glob")
    found = list_files(path, settings)
    in_folder = len(found) != 1 or found[0].path != path
    if format == "auto" and in_folder and not any(sign in path for sign in "*?["):
        found = [item for item in found if _is_input(item.path)]
    if not found:
        mend = "quote the glob, so that the shell hands it on as it is" if "*" in path and not is_remote(path) else None
        raise InputError(path, "no file matches", mend=mend)
    return found


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
