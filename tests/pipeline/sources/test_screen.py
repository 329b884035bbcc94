"""Which records are pages."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.document import Document, Drop
from pipeline.sources import read_records
from pipeline.sources.record import Record
from pipeline.sources.screen import Screen, storable
from pipeline.sources.sniff import sniff

HTML = b"<!DOCTYPE html><html><body><p>page</p></body></html>"


def record(body: bytes = HTML, **fields: Any) -> Record:
    given = {"id": "x", "kind": "response", "status": 200, "content_type": "text/html", "body": body}
    return Record(**{**given, **fields})


def test_a_page_becomes_a_document():
    date = datetime(2024, 3, 1, tzinfo=UTC)
    place = {"warc_path": "a.warc.gz", "warc_offset": 5, "warc_length": 7}
    page = record(
        "<p>Mühle</p>".encode("latin-1"), charset="latin1", url="http://a.example/", date=date, dump="D", **place
    )
    assert Screen()(page) == Document(
        id="x", url="http://a.example/", date=date, dump="D", html="<p>Mühle</p>", **place
    )


def test_statuses():
    assert isinstance(Screen()(record(status=200)), Document)
    assert Screen()(record(status=404)) == Drop("http_status", value=404)
    assert Screen()(record(status=None)) == Drop("http_status", detail="no HTTP header")
    assert isinstance(Screen(statuses=(200, 404))(record(status=404)), Document)
    assert isinstance(Screen(statuses=None)(record(status=None)), Document)


@pytest.mark.parametrize(
    ("declared", "body", "kept"),
    [
        ("text/html", HTML, None), ("application/xhtml+xml", HTML, None), ("text/html", b"just words", None),
        ("text/plain", HTML, "text/plain"), ("application/pdf", b"%PDF-1.4", "application/pdf"),
        ("text/html", b"%PDF-1.4 \x00\x01", "application/pdf"), ("text/html", b"\x89PNG\r\n\x1a\n\0\0", "image/png"),
        (None, HTML, None),
        ("application/octet-stream", HTML, None),
        ("unknown/unknown", b"\n\n <HTML >", None),
        ("text", HTML, None),
        (None, b"just words", "text/plain"),
        (None, b"\x00\x01\x02", "application/octet-stream"),
        (None, b"%PDF-1.4", "application/pdf"),
        (None, b"<?xml version='1.0'?><rss/>", "text/xml"),
        (None, b"<?xml version='1.0'?>\n<!DOCTYPE html><html>", None),
    ],
)  # fmt: skip
def test_content_types(declared, body, kept):
    result = Screen()(record(body, content_type=declared))
    assert isinstance(result, Document) if kept is None else result == Drop("content_type", detail=kept)


def test_any_content_type():
    assert isinstance(Screen(content_types=None)(record(b"words", content_type="text/plain")), Document)


def test_size_limits_are_inclusive():
    assert isinstance(Screen(max_bytes=10)(record(b"<p>345678<")), Document)
    assert Screen(max_bytes=10)(record(b"<p>3456789<")) == Drop("too_large", value=11, limit=10)
    assert Screen(max_bytes=10)(record(b"<p>", body_size=5000)) == Drop("too_large", value=5000, limit=10)
    assert Screen(max_bytes=None)(record(b"<p>", body_size=5000)) == Drop(
        "too_large", value=5000, limit=3, detail="the reader's bound"
    )
    assert Screen(max_bytes=3)(record(kind="row", text="für")) == Drop("too_large", value=4, limit=3)
    assert isinstance(Screen(max_bytes=4)(record(kind="row", text="für")), Document)


def test_empty_bodies():
    assert Screen()(record(b"")) == Drop("empty_body", value=0)
    assert Screen()(record(b" \r\n ")) == Drop("empty_body", value=4)
    assert Screen()(record(kind="conversion", text=" \n")) == Drop("empty_body", value=2)
    assert Screen()(record(kind="row", text=None)) == Drop("empty_body", value=0)


def test_bytes_that_are_no_text():
    kept, dropped = b"<p>" + b"\x01" * 10 + b"x" * 87, b"<p>" + b"\x01" * 11 + b"x" * 86
    assert isinstance(Screen()(record(kept)), Document)
    assert Screen()(record(dropped)) == Drop("undecodable", value=0.11, limit=0.1)
    assert isinstance(Screen(max_undecodable=None)(record(dropped)), Document)
    assert Screen(max_undecodable=0)(record(b"<p>\x01" + b"x" * 96)) == Drop("undecodable", value=0.01, limit=0)


def test_nul_and_lone_surrogates():
    assert Screen()(record(b"<p>a\0b</p>")).html == "<p>ab</p>"
    assert Screen()(record(kind="row", text="a\0b\ud800c" + "x" * 20)).text == "ab\ufffdc" + "x" * 20
    assert storable("\ud83d\ude00 \udc00") == "\U0001f600 \ufffd"
    assert Screen()(record(b"<p>a\xed\xa0\x80b</p>" + b" x" * 20)).html.encode("utf-8")


@pytest.mark.parametrize(
    ("body", "charset", "kept"),
    [
        ("<p>Mühle “1” 日本</p>".encode(), None, True),
        ("<p>Mühle</p>".encode("latin-1"), "latin1", False),
        (b"\xef\xbb\xbf<p>marked</p>", None, False),
        (b"<p>one\0two</p>", None, False),
        ("<p>Mühle, Bäche, Öfen</p>".encode() + b"\xff", "utf-8", False),
    ],
)
def test_the_bytes_of_a_page_are_those_of_its_characters_and_encoded_only_where_they_differ(body, charset, kept):
    page = Screen()(record(body, charset=charset))
    assert page.html_bytes == page.html.encode("utf-8")
    assert (page.html_bytes is body) == kept
    assert page.replace(html="<p>other</p>").html_bytes == b"<p>other</p>"
    assert page.replace(html="").html_bytes == b""


def test_rows_and_conversions_are_text_at_once():
    found = Screen()(record(kind="conversion", text="A text.", status=None, content_type=None, body=b"", language="en"))
    assert (found.text, found.html, found.language) == ("A text.", "", "en")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"statuses": (20,)}, "statuses: must be 100 to 999, got 20"),
        ({"content_types": ("html",)}, "content_types: must be a lower-case MIME type such as text/html, got 'html'"),
        ({"max_bytes": -1}, "max_bytes: must be at least 0, got -1"),
        ({"max_undecodable": 1.5}, "max_undecodable: must be 0 to 1, got 1.5"),
    ],
)
def test_impossible_limits(fields, message):
    with pytest.raises(ValueError) as error:
        Screen(**fields)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\xef\xbb\xbf\n<!doctype HTML >", "text/html"),
        (b"<!-- x -->", "text/html"),
        (b"<pre>", "text/plain"),
        (b"<p>", "text/html"),
        ("<html>".encode("utf-16"), "text/html"), (b"ID3 is a tag", "text/plain"), (b"ID3\x03\0\0", "audio/mpeg"),
        (b"BM is a company", "text/plain"), (b"", "text/plain"), (b"PK\x03\x04\x14\0", "application/zip"),
    ],
)  # fmt: skip
def test_sniffing(body, kind):
    assert sniff(body) == kind


def test_mixed_records(shared_data):
    """404 with a page, 301, PDF, text, empty HTML, a page without a type, a page; a conversion."""
    path = str(shared_data / "warc-corner/derived/mixed-types.warc.gz")
    results = [Screen()(item) for item in read_records(path) if item.candidate]
    assert [result.reason if isinstance(result, Drop) else "kept" for result in results] == [
        "http_status", "http_status", "content_type", "content_type", "empty_body", "kept", "kept", "kept",
    ]  # fmt: skip


def test_all_real_pages_pass(shared_data):
    pages = [item for item in read_records(str(shared_data / "web/crawl-00003.warc.gz")) if item.candidate]
    assert len(pages) == 254 and all(isinstance(Screen()(page), Document) for page in pages)
