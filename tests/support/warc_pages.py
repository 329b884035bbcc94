"""WARC files and pages made for a test."""

import dataclasses
import gzip
import random
import uuid
from collections.abc import Sequence
from pathlib import Path


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """One response for a test WARC; `html` as text is sent as UTF-8."""

    url: str
    html: str | bytes = ""
    status: str = "200 OK"
    content_type: str = "text/html; charset=utf-8"
    date: str = "2024-01-01T00:00:00Z"
    record_id: str | None = None


def warc_member(page: Page) -> bytes:
    """The gzip member of a page's response record."""
    body = page.html.encode() if isinstance(page.html, str) else page.html
    http = (
        f"HTTP/1.1 {page.status}\r\nContent-Type: {page.content_type}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    )
    name = page.record_id or str(uuid.uuid5(uuid.NAMESPACE_URL, page.url + page.date))
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:{name}>\r\nWARC-Date: {page.date}\r\n"
        f"WARC-Target-URI: {page.url}\r\nContent-Type: application/http; msgtype=response\r\n"
        f"Content-Length: {len(http) + len(body)}\r\n\r\n"
    ).encode()
    return gzip.compress(head + http + body + b"\r\n\r\n", mtime=0)


def write_warc(path: Path, pages: Sequence[Page]) -> Path:
    """A WARC file: a warcinfo record, then one response per page, each in its own gzip member."""
    info, name = b"software: tests\r\n", uuid.uuid5(uuid.NAMESPACE_URL, path.name)
    head = (
        f"WARC/1.0\r\nWARC-Type: warcinfo\r\nWARC-Record-ID: <urn:uuid:{name}>\r\n"
        "WARC-Date: 2024-01-01T00:00:00Z\r\nContent-Type: application/warc-fields\r\n"
        f"Content-Length: {len(info)}\r\n\r\n"
    ).encode()
    members = [gzip.compress(head + info + b"\r\n\r\n", mtime=0), *map(warc_member, pages)]
    path.write_bytes(b"".join(members))
    return path


_LINKS = "the of and to that with have be in for on from under over near behind".split()
_WORDS = """
apple winter stone music paper harbour silver meadow candle forest letter window garden summer
copper lantern kitchen morning thunder orchard river teacher village bridge valley people story
voice children town house market road island mountain painter doctor farmer captain sailor singer
writer reader runner builder baker miller weaver potter
""".split()
_VERBS = (
    "found carried followed remembered described painted repaired visited counted watched gathered answered".split()
)


def prose(seed: int, sentences: int = 14) -> str:
    """English-looking paragraphs that pass FineWeb's filters, different for every seed."""
    draw = random.Random(seed)
    return "".join(f"<p>{_sentence(draw)}</p>" for _ in range(sentences))


def _sentence(draw: random.Random) -> str:
    pairs = [f"{draw.choice(_LINKS)} {draw.choice(_WORDS)}" for _ in range(8)]
    pairs.insert(draw.randrange(2, 6), draw.choice(_VERBS))
    return f"The {draw.choice(_WORDS)} {' '.join(pairs)}."


def article(seed: int, sentences: int = 14) -> str:
    """A whole HTML page around `prose`."""
    title = f"Story number {seed}"
    body = f"<main><h1>{title}</h1>{prose(seed, sentences)}</main>"
    return f"<html><head><title>{title}</title></head><body>{body}</body></html>"
