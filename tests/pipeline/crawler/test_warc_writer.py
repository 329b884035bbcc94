"""WARC files read back by another reader, and the small parts of a record."""

import datetime
import gzip
import io

import pytest
from fastwarc.warc import ArchiveIterator

from pipeline.crawler.fetch import Response
from pipeline.crawler.warc_writer import WarcWriter, digest, payload_type, record_id, warc_fields

DATE = datetime.datetime(2026, 1, 31, 12, 0, 5, tzinfo=datetime.UTC)
EMPTY = "sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ"  # of no bytes, as in the files of Common Crawl


def response(body=b"<html><p>a page</p></html>", content_type="text/html", **fields):
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    headers = (("content-type", content_type),) if content_type else ()
    return Response(address="127.0.0.1", request=b"GET / HTTP/1.1\r\n\r\n", head=head, body=body, status=200,
                    headers=headers, **fields)  # fmt: skip


def write(folder, *responses):
    """The file with these responses, and where each stands."""
    writer = WarcWriter(folder / "a.warc.gz", info={"software": "tests"}, date=DATE)
    places = [writer.write(f"http://a.example/{n}", one, DATE, {"via": "x\r\ny"}) for n, one in enumerate(responses)]
    assert writer.pages == len(responses)
    writer.commit()
    return (folder / "a.warc.gz").read_bytes(), places


def records(data):
    """(headers, block) of every record."""
    found = []
    for record in ArchiveIterator(io.BytesIO(data), parse_http=False):
        assert record.verify_block_digest()
        found.append((dict(record.headers), record.reader.read()))
    return found


def test_a_page_is_three_records_that_name_each_other(tmp_path):
    data, _ = write(tmp_path, response())
    (info, fields), (asked, request), (got, block), (about, notes) = records(data)
    assert [one["WARC-Type"] for one in (info, asked, got, about)] == ["warcinfo", "request", "response", "metadata"]
    assert {one["WARC-Date"] for one in (info, asked, got, about)} == {"2026-01-31T12:00:05Z"}
    assert fields == b"software: tests\r\n\r\n"
    assert request == b"GET / HTTP/1.1\r\n\r\n"
    assert block == b"HTTP/1.1 200 OK\r\n\r\n<html><p>a page</p></html>"
    assert notes.startswith(b"via: x y\r\n")
    assert got["WARC-Concurrent-To"] == asked["WARC-Record-ID"] and about["WARC-Concurrent-To"] == got["WARC-Record-ID"]
    assert (asked["WARC-Payload-Digest"], got["WARC-Identified-Payload-Type"]) == (EMPTY, "text/html")
    assert len({one["WARC-Record-ID"] for one in (info, asked, got, about)}) == 4


def test_an_offset_leads_to_a_gzip_member_with_the_response_alone(tmp_path):
    data, places = write(tmp_path, response(), response(b"second"))
    for (offset, length), body in zip(places, (b"</html>\r\n\r\n", b"second\r\n\r\n"), strict=True):
        member = gzip.decompress(data[offset : offset + length])
        assert member.startswith(b"WARC/1.0\r\nWARC-Type: response\r\n") and member.endswith(body)
        assert member.count(b"WARC/1.0") == 1


def test_the_same_pages_make_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    assert write(tmp_path / "one", response())[0] == write(tmp_path / "two", response())[0]


@pytest.mark.parametrize(
    ("made", "fields"),
    [
        (response(), {"WARC-Truncated": None, "WARC-Identified-Payload-Type": "text/html"}),
        (response(truncated="time"), {"WARC-Truncated": "time"}),
        (response(b""), {"WARC-Identified-Payload-Type": None, "WARC-Payload-Digest": EMPTY}),
    ],
)
def test_headers_that_depend_on_the_body(tmp_path, made, fields):
    got = records(write(tmp_path, made)[0])[2][0]
    assert {name: got.get(name) for name in fields} == fields


def test_a_file_has_its_name_when_it_is_complete_and_none_when_given_up(tmp_path):
    writer = WarcWriter(tmp_path / "a.warc.gz", info={}, date=DATE)
    assert [path.name for path in tmp_path.iterdir()] == ["a.warc.gz.open"]
    writer.commit()
    assert [path.name for path in tmp_path.iterdir()] == ["a.warc.gz"]
    WarcWriter(tmp_path / "b.warc.gz", info={}, date=DATE).abandon()
    assert [path.name for path in tmp_path.iterdir()] == ["a.warc.gz"]


@pytest.mark.parametrize(
    ("body", "said", "shown"),
    [
        (b"%PDF-1.4\n", "text/html", "application/pdf"),
        (b"\x89PNG\r\n\x1a\n", None, "image/png"),
        (b"\n<!DOCTYPE html>\n", "text/plain", "text/html"),
        (b"\xef\xbb\xbf<P>x", "application/json", "text/html"),
        (b"<pre>x", "Text/X-Notes; charset=utf-8", "text/x-notes"),  # no tag that makes a body HTML
        (b"plain words", "application/json", "application/json"),
        (b"plain words", "nonsense", "text/plain"),
        (b"plain words", None, "text/plain"),
    ],
)
def test_what_the_body_shows_goes_before_what_the_header_says(body, said, shown):
    assert payload_type(response(body, said)) == shown


def test_digests_and_fields():
    assert digest(b"") == EMPTY
    assert digest(b"abc") == "sha1:VGMT4NSHA2AWVOR6EVYXQUGCNSONBWE5"
    assert warc_fields({"a": "1\r\nb: 2", "c": " x "}) == b"a: 1 b: 2\r\nc: x\r\n\r\n"
    assert warc_fields({}) == b"\r\n"


def test_a_record_has_one_id_for_its_kind_url_and_time():
    one = record_id("response", "http://a.example/", DATE)
    assert one == record_id("response", "http://a.example/", DATE)
    assert one.startswith("<urn:uuid:") and one.endswith(">") and one[24] == "5"
    later = DATE + datetime.timedelta(seconds=1)
    assert len({one, record_id("request", "http://a.example/", DATE), record_id("response", "http://a.example/", later),
                record_id("response", "http://a.example/x", DATE)}) == 4  # fmt: skip
