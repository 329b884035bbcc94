"""What inputs are made from: pages and archives built here, and real ones where the shared test data is."""

import functools
import gzip
import json
import os
import uuid
import zlib
from pathlib import Path

import zstandard
from reason_pages import extract_pages, filter_pages
from warc_pages import Page, article, warc_member

SHARED = Path(os.environ.get("TOKENMILL_SHARED", Path(__file__).parents[3] / "shared" / "data"))
LARGEST = 150_000
"""Bytes of a real file taken as it is; of larger ones, members are taken."""


def record(block: bytes, kind: str = "response", **fields: str) -> bytes:
    """A WARC record."""
    name = uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}{block[:300]!r}")
    lines = {"WARC-Type": kind, "WARC-Record-ID": f"<urn:uuid:{name}>", "WARC-Date": "2024-01-01T00:00:00Z",
             "WARC-Target-URI": f"https://site.example/{name}",
             "Content-Length": str(len(block)), **fields}  # fmt: skip
    head = "".join(f"{key.replace('_', '-')}: {value}\r\n" for key, value in lines.items())
    return f"WARC/1.0\r\n{head}\r\n".encode() + block + b"\r\n\r\n"


def response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """An HTTP response."""
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *headers))
    return f"{head}\r\n".encode("latin-1") + body


@functools.cache
def responses() -> tuple[bytes, ...]:
    """HTTP responses in every encoding that is read."""
    page = article(3, 4).encode()
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(page[i : i + 90]), page[i : i + 90]) for i in range(0, len(page), 90))
    html, length = "Content-Type: text/html; charset=utf-8", f"Content-Length: {len(page)}"
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (
        response(page, html, length),
        response(page, 'content-type: Text/HTML;charset="ISO-8859-1"', "Folded: a\r\n b"),
        response(chunked + b"0\r\n\r\n", html, "Transfer-Encoding: chunked"),
        response(gzip.compress(page, mtime=0), html, "Content-Encoding: gzip"),
        response(zlib.compress(page), html, "Content-Encoding: deflate"),
        response(packed.compress(page) + packed.flush(), html, "Content-Encoding: deflate"),
        response(zstandard.compress(page), html, "Content-Encoding: zstd"),
        response(_brotli(page), html, "Content-Encoding: br"),
        response(b"", "Location: /elsewhere", status="301 Moved Permanently"),
        response("Größe und Maß, 夜里河水上涨".encode("gb18030"), "Content-Type: text/html; charset=gb2312"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + response(page, html),
        page,
    )


def _brotli(data: bytes) -> bytes:
    import brotli

    return bytes(brotli.compress(data, quality=4))


@functools.cache
def htmls() -> tuple[bytes, ...]:
    """Pages: made ones of every kind, and small real ones."""
    made = [page for pages in (*extract_pages().values(), *filter_pages().values()) for page in pages]
    found = [page.html if isinstance(page.html, bytes) else page.html.encode() for page in made]
    return (*(html for html in found if len(html) < 30_000), *_real_pages())


@functools.cache
def archives() -> dict[str, bytes]:
    """File name -> bytes: archives of every kind that is read."""
    records = [record(block) for block in responses()]
    info = record(b"software: tests\r\n", "warcinfo", Content_Type="application/warc-fields")
    text = record(b"Plain text of a page.\nIts second line.\n", "conversion", Content_Type="text/plain")
    other = record(b"GET / HTTP/1.1\r\nHost: site.example\r\n\r\n", "request")
    every = [info, *records[:5], text, other, *records[5:9]]
    small = [info, records[0], records[8], text]
    arc = b"".join(
        b"http://site.example/%d 192.0.2.1 20240101000000 text/html %d\n%s\n" % (number, len(block), block)
        for number, block in enumerate(responses()[:3])
    )
    arc = b"filedesc://a.arc 0.0.0.0 20240101000000 text/plain 20\n1 0 test\nURL IP-add\n\n" + arc
    made = {
        "members.warc.gz": b"".join(gzip.compress(item, mtime=0) for item in every),
        "small.warc.gz": b"".join(gzip.compress(item, mtime=0) for item in small),
        "one-member.warc.gz": gzip.compress(b"".join(every), mtime=0),
        "plain.warc": b"".join(every),
        "bare.warc": b"".join(small).replace(b"\r\n", b"\n"),
        "frames.warc.zst": b"".join(zstandard.compress(item, 1) for item in small),
        "old.arc": arc,
        "old.arc.gz": b"".join(gzip.compress(item, mtime=0) for item in (arc[:90], arc[90:])),
        "text.warc.wet.gz": b"".join(gzip.compress(item, mtime=0) for item in (info, text, text)),
        "pages.warc.gz": b"".join(
            warc_member(Page(url=f"https://a.example/{i}", html=article(i, 2))) for i in range(4)
        ),
    }
    return {**made, **_real_archives()}


def _real_archives() -> dict[str, bytes]:
    """The small ones among the corner cases."""
    found = sorted((SHARED / "warc-corner").glob("*/*arc*")) if SHARED.is_dir() else []
    return {path.name: path.read_bytes() for path in found if path.stat().st_size <= LARGEST}


@functools.cache
def _real_pages() -> tuple[bytes, ...]:
    """Twenty of the smaller pages of the saved crawl."""
    paths = sorted((SHARED / "web").glob("*.warc.gz"))[:1] if SHARED.is_dir() else []
    if not paths:
        return ()
    from pipeline.sources.record import Record
    from pipeline.sources.warc.reader import read_warc

    found: list[bytes] = []
    for item in read_warc(str(paths[0])):
        if isinstance(item, Record) and item.kind == "response" and 2_000 < len(item.body) < 40_000:
            found.append(item.body)
        if len(found) == 20:
            break
    return tuple(found)


@functools.cache
def texts() -> tuple[str, ...]:
    """Texts as extraction leaves them."""
    from reason_pages import GERMAN, sentences

    made = ["\n".join(sentences(i, 12)) for i in range(4)]
    return (*made, GERMAN, "夜里河水上涨，到了早晨，低处的草地都淹没了。" * 8, "- a\n- b\n" * 30,
            "كان النهر هادئا في الليل. " * 9, "ab" * 2000,
            "write to me@site.example or 192.0.2.1, 4111 1111 1111 1111, +1 212 555 0100\n" * 4)  # fmt: skip


@functools.cache
def urls() -> tuple[str, ...]:
    """Addresses of many kinds, real ones among them where they are."""
    path = SHARED / "url" / "urls-sample.jsonl"
    real = [json.loads(line).get("url", "") for line in path.read_text().splitlines()[:200]] if path.is_file() else []
    return ("https://www.site.example:8080/a/b/../c;p?q=1&r=%20#top", "http://user:pw@host.example/", "//host/x", "?a",
            "http://192.0.2.1/", "http://[2001:db8::1]:80/", "http://bücher.example/straße?ä",
            "http://xn--bcher-kva.example/", "mailto:a@b", "javascript:alert(1)", "data:text/html,x",
            "HTTP://EXAMPLE.COM.", "../../x", "", *real)  # fmt: skip
