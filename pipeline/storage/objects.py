"""Files in object stores (`s3://`, `gs://` ...), one attempt each, through fsspec."""

import dataclasses
import errno
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pipeline.contract.errors import InputError
from pipeline.storage.store import TransientError

T = TypeVar("T")

_NEEDS = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
    "az": "adlfs",
    "hf": "huggingface_hub",
}
# Errors of the caller's that no second attempt will cure, by the names botocore gives them.
_HOPELESS = ("NoCredentials", "PartialCredentials", "ProfileNotFound", "InvalidAccessKeyId", "SignatureDoesNotMatch",
             "ParamValidation", "AccessDenied", "ExpiredToken", "InvalidBucketName", "TokenRetrieval")  # fmt: skip


@dataclasses.dataclass(slots=True)
class ObjectFile:
    """See `Store`."""

    url: str
    options: Mapping[str, Any]
    timeout: float

    def size_and_etag(self) -> tuple[int, str | None]:
        """See `Store`."""
        info = self._attempt(lambda: self._system.info(self._path))
        if info.get("type") == "directory":
            raise FileNotFoundError(f"{self.url} is a folder")
        return int(info["size"]), _etag(info)

    def read_into(self, kept: bytearray, start: int, end: int) -> None:
        """See `Store`."""
        kept += self._attempt(lambda: self._system.cat_file(self._path, start=start, end=end))

    def listing(self) -> list[tuple[str, int, str | None]]:
        """See `Store`."""
        return self._attempt(self._list)

    def put(self, local: Path) -> None:
        """See `Store`: one put, or one multipart upload that shows only when it is complete."""
        self._attempt(lambda: self._system.put_file(str(local), self._path))

    def remove(self) -> None:
        """See `Store`."""
        try:
            self._attempt(lambda: self._system.rm_file(self._path))
        except FileNotFoundError:
            return

    def _list(self) -> list[tuple[str, int, str | None]]:
        system, path = self._system, self._path
        if any(sign in path for sign in "*?["):
            found = system.glob(path, detail=True)
        elif system.isdir(path):
            found = system.find(path, detail=True)
        else:
            found = {path: system.info(path)}
        scheme = self.url[: self.url.index("://") + 3]
        files = [(name, info) for name, info in found.items() if info.get("type") == "file"]
        return [(scheme + name.lstrip("/"), int(info["size"] or 0), _etag(info)) for name, info in files]

    @property
    def _path(self) -> str:
        path: str = self._system._strip_protocol(self.url)
        return path

    @property
    def _system(self) -> Any:
        # fsspec keeps instances itself, by process: one made before a fork must not be used behind it.
        import fsspec

        protocol = self.url.partition("://")[0].lower()
        try:
            if protocol in ("s3", "s3a"):
                system = fsspec.filesystem(protocol, **_s3_options(self.options, self.timeout))
                system.retries = 1  # trying again is `Remote`'s work: three layers of it multiply
                return system
            return fsspec.filesystem(protocol, **{"use_listings_cache": False, **self.options})
        except ImportError as error:
            package = _NEEDS.get(protocol, f"the fsspec package for {protocol}")
            raise InputError(self.url, f"{protocol}:// needs {package}", hint=f"pip install {package}") from error
        except ValueError as error:
            raise InputError(
                self.url, f"unknown kind of address: {error}", known=("s3://", "gs://", "https://")
            ) from error

    def _attempt(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except (FileNotFoundError, InputError):
            raise
        except PermissionError as error:
            # s3fs makes a PermissionError of "RequestTimeTooSkewed" and of every 403; none heals by itself.
            raise PermissionError(str(error)) from error
        except Exception as error:
            raise _judged(error) from error


def _s3_options(options: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    client = {"connect_timeout": min(timeout, 10.0), "read_timeout": timeout, "retries": {"max_attempts": 0}}
    merged = {**client, **options.get("config_kwargs", {})}
    return {"use_listings_cache": False, **options, "config_kwargs": merged}


def _judged(error: Exception) -> OSError:
    """A PermissionError for what no retry cures, else TransientError: stores fail in more ways than can be listed."""
    text = f"{type(error).__name__}: {error}"
    if any(name in text for name in _HOPELESS):
        return PermissionError(text)
    if isinstance(error, OSError) and error.errno in (errno.EISDIR, errno.ENOTDIR, errno.EINVAL):
        return PermissionError(text)
    return TransientError(text)


def _etag(info: Mapping[str, Any]) -> str | None:
    """The content's name: `ETag` in s3, `etag` or `md5Hash` elsewhere."""
    for key in ("ETag", "etag", "md5Hash", "sha256"):
        if info.get(key):
            return str(info[key]).strip('"')
    return None
