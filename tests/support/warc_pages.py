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


_OPENINGS = ("The river", "A teacher", "This village", "Our garden", "The old bridge", "Every winter the lake")
_VERBS = ("was known to be", "had always been", "came to be", "could have been", "seemed to have been", "is said to be")
_ENDINGS = ("close to the heart of the valley", "the reason that people stayed", "part of a story with many voices",
            "a place to rest and think", "what the children talked of", "older than the houses")  # fmt: skip


def prose(seed: int, sentences: int = 14) -> str:
    """English paragraphs that pass FineWeb's filters, different for every seed."""
    draw = random.Random(seed)
    words = ["apple", "winter", "stone", "music", "paper", "harbour", "silver", "meadow", "candle", "forest", "letter",
             "window", "garden", "summer", "copper", "lantern", "kitchen", "morning", "thunder", "orchard"]  # fmt: skip
    lines = []
    for _ in range(sentences):
        nouns = ", ".join(draw.sample(words, 3))
        lines.append(f"{draw.choice(_OPENINGS)} {draw.choice(_VERBS)} {draw.choice(_ENDINGS)}, and the {nouns} number "
                     f"{draw.randrange(10**6)} that we remember have not changed with the years.")  # fmt: skip
    return "".join(f"<p>{line}</p>" for line in lines)


def article(seed: int, sentences: int = 14) -> str:
    """A whole HTML page around `prose`."""
    title = f"Story number {seed}"
    body = f"<main><h1>{title}</h1>{prose(seed, sentences)}</main>"
    return f"<html><head><title>{title}</title></head><body>{body}</body></html>"
