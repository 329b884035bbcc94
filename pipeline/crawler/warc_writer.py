"""WARC files laid out as Common Crawl's: a gzip member per record, warcinfo first, then request, response, metadata.

Source: ISO 28500 (WARC/1.0), and the files of Common Crawl. A file grows under the name `....open` and takes its own
when it is complete.
"""

import base64
import datetime
import gzip
import hashlib
import os
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from resiliparse.parse.encoding import detect_encoding, detect_mime

from pipeline.crawler.fetch import Response

_HTML_START = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*<(?:!--|!doctype html|html|head|body|title|script|style|iframe|h1|div|font|table|a|b|br|p)"
    rb"[\s>-]",
    re.IGNORECASE,
)
_MIME = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://iipc.github.io/warc-specifications/")


class Position(NamedTuple):
    """Where the response's gzip member stands."""

    offset: int
    length: int


class WarcWriter:
    """One WARC file. Record ids are made from type, URL and date, so that nothing in it is random."""

    def __init__(self, path: Path, *, info: Mapping[str, str], date: datetime.datetime) -> None:
        self.path = path
        self.pages = 0
        self._open = path.with_name(f"{path.name}.open")
        self._sink: BinaryIO = self._open.open("wb")
        self._info = record_id("warcinfo", path.name, date)
        fields = {"WARC-Filename": path.name, "Content-Type": "application/warc-fields"}
        self._write("warcinfo", self._info, date, fields, warc_fields(info))

    def write(self, url: str, response: Response, date: datetime.datetime, notes: Mapping[str, str]) -> Position:
        """Add the three records of one page.

        Args:
            url: what was asked for.
            response: what came back.
            date: the time of the request, UTC.
            notes: fields of the metadata record.

        Returns:
            Byte offset and length of the response's gzip member.
        """
        ids = {kind: record_id(kind, url, date) for kind in ("request", "response", "metadata")}
        common = {"WARC-Warcinfo-ID": self._info, "WARC-Target-URI": url}
        wire = {**common, "WARC-IP-Address": response.address}
        request = {**wire, "Content-Type": "application/http; msgtype=request", "WARC-Payload-Digest": digest(b"")}
        self._write("request", ids["request"], date, request, response.request)
        answer = {
            **wire,
            "Content-Type": "application/http; msgtype=response",
            "WARC-Concurrent-To": ids["request"],
            "WARC-Payload-Digest": digest(response.body),
            **({"WARC-Truncated": response.truncated} if response.truncated else {}),
            **({"WARC-Identified-Payload-Type": payload_type(response)} if response.body else {}),
        }
        position = self._write("response", ids["response"], date, answer, response.head + response.body)
        metadata = {**common, "Content-Type": "application/warc-fields", "WARC-Concurrent-To": ids["response"]}
        charset = detect_encoding(response.body, from_html_meta=True) if response.body else None
        self._write(
            "metadata",
            ids["metadata"],
            date,
            metadata,
            warc_fields({**notes, **({"charset-detected": charset} if charset else {})}),
        )
        self.pages += 1
        return position

    def commit(self) -> None:
        """Close the file and give it its name."""
        self._sink.flush()
        os.fsync(self._sink.fileno())
        self._sink.close()
        self._open.replace(self.path)

    def abandon(self) -> None:
        """Close and delete an unfinished file."""
        self._sink.close()
        self._open.unlink(missing_ok=True)

    def _write(
        self, kind: str, ident: str, date: datetime.datetime, fields: Mapping[str, str], block: bytes
    ) -> Position:
        headers = {
            "WARC-Type": kind,
            "WARC-Date": date.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "WARC-Record-ID": ident,
            "Content-Length": str(len(block)),
            **fields,
            "WARC-Block-Digest": digest(block),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        member = gzip.compress(f"WARC/1.0\r\n{head}\r\n".encode() + block + b"\r\n\r\n", mtime=0)
        offset = self._sink.tell()
        self._sink.write(member)
        return Position(offset, len(member))


def payload_type(response: Response) -> str:
    """The media type that the body shows; where it shows none, that of the Content-Type header.

    A body that begins with a tag of HTML is HTML (MIME Sniffing Standard, section 7.1).
    """
    detected = detect_mime(response.body) or "application/octet-stream"
    if detected not in {"text/plain", "application/octet-stream"}:
        return detected
    if _HTML_START.match(response.body):
        return "text/html"
    declared = (response.header("Content-Type") or "").partition(";")[0].strip().lower()
    return declared if _MIME.fullmatch(declared) else detected


def record_id(kind: str, url: str, date: datetime.datetime) -> str:
    """`<urn:uuid:...>` (version 5) of one record; a crawl asks for each URL once, so no two are alike."""
    return f"<urn:uuid:{uuid.uuid5(NAMESPACE, f'{kind} {date.isoformat()} {url}')}>"


def digest(data: bytes) -> str:
    """`sha1:` and 32 characters of base32, as in WARC-Payload-Digest."""
    return "sha1:" + base64.b32encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode("ascii")


def warc_fields(fields: Mapping[str, str]) -> bytes:
    """The body of an `application/warc-fields` record; line ends in a value become spaces."""
    lines = [f"{name}: {' '.join(str(value).split())}\r\n" for name, value in fields.items()]
    return ("".join(lines) + "\r\n").encode()
