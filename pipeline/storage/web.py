"""`http://` and `https://` files: one attempt each, with the standard library."""

import dataclasses
import http.client
import re
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from pipeline.storage.store import TransientError

_TRY_AGAIN = {408, 425, 429}  # and every 5xx
_MISSING = {404, 410}
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)")
_CHUNK = 1 << 16


@dataclasses.dataclass(slots=True)
class WebFile:
    """See `Store`. Remembers the ETag it first saw, so that a file replaced half-way is noticed."""

    url: str
    timeout: float
    _etag: str | None = None
    _whole: IO[bytes] | None = None
    """A copy of the file where the server ignores ranges: fetched once, not once per block."""

    def size_and_etag(self) -> tuple[int, str | None]:
        """See `Store`."""
        try:
            with self._get("bytes=0-0") as answer:
                self._check(answer)
                found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
                if answer.status == 206 and found:
                    return int(found[3]), self._etag
                length = answer.headers.get("Content-Length")
                if length is None:
                    return self._copy_whole(), self._etag
                return int(length), self._etag
        except urllib.error.HTTPError as error:
            found = _CONTENT_RANGE.fullmatch(error.headers.get("Content-Range", ""))
            if error.code == 416 and found and found[3] == "0":  # an empty file has no byte 0
                return 0, None
            raise self._failure(error) from error
        except _BROKEN as error:
            raise TransientError(str(error)) from error

    def read_into(self, kept: bytearray, start: int, end: int) -> None:
        """See `Store`."""
        if self._whole is not None:
            self._whole.seek(start)
            kept += self._whole.read(end - start)
            return None
        try:
            with self._get(f"bytes={start}-{end - 1}") as answer:
                self._check(answer)
                if answer.status != 206:
                    self._copy_whole()
                    return self.read_into(kept, start, end)
                found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
                if not found or found[1] != str(start):
                    raise TransientError(
                        f"asked for bytes {start}-{end - 1}, sent {answer.headers.get('Content-Range')}"
                    )
                left = end - start
                while left and (data := answer.read1(min(left, _CHUNK))):
                    kept += data
                    left -= len(data)
                if left:
                    raise TransientError(f"the connection ended {left} bytes early")
        except urllib.error.HTTPError as error:
            raise self._failure(error) from error
        except _BROKEN as error:
            raise TransientError(str(error)) from error
        return None

    def listing(self) -> list[tuple[str, int, str | None]]:
        """See `Store`: an address names itself."""
        size, etag = self.size_and_etag()
        return [(self.url, size, etag)]

    def put(self, local: Path) -> None:
        """See `Store`: there is no writing over http."""
        raise PermissionError(f"{local.name}: http addresses are read only")

    def remove(self) -> None:
        """See `Store`: there is no deleting over http."""
        raise PermissionError("http addresses are read only")

    def _get(self, span: str) -> http.client.HTTPResponse:
        headers = {"Range": span, "User-Agent": "tokenmill", "Accept-Encoding": "identity"}
        request = urllib.request.Request(self.url, headers=headers)  # noqa: S310 - http(s) by `remote`
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=self.timeout)  # noqa: S310
        return answer

    def _check(self, answer: http.client.HTTPResponse) -> None:
        etag = answer.headers.get("ETag")
        if etag and self._etag and etag != self._etag:
            raise PermissionError(f"the file changed while it was read (ETag {self._etag}, now {etag})")
        self._etag = self._etag or etag

    def _copy_whole(self) -> int:
        request = urllib.request.Request(self.url, headers={"User-Agent": "tokenmill"})  # noqa: S310
        copy = tempfile.TemporaryFile(prefix="tokenmill-")  # noqa: SIM115 - lives as long as this object
        with urllib.request.urlopen(request, timeout=self.timeout) as answer:  # noqa: S310
            while data := answer.read(_CHUNK):
                copy.write(data)
            declared = answer.headers.get("Content-Length")
        size = copy.tell()
        if declared is not None and int(declared) != size:
            copy.close()
            raise TransientError(f"{declared} bytes declared, {size} sent")
        self._whole = copy
        return size

    def _failure(self, error: urllib.error.HTTPError) -> OSError:
        text = f"HTTP {error.code} {error.reason}"
        if error.code in _MISSING:
            return FileNotFoundError(text)
        if error.code in _TRY_AGAIN or error.code >= 500:
            return TransientError(text)
        return PermissionError(text)


# URLError wraps what goes wrong while connecting; the rest is raised raw while reading.
_BROKEN = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)
