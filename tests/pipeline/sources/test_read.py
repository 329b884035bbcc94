"""One door to every source."""

import pytest

from pipeline.contract.errors import InputError
from pipeline.sources import read_at, read_records
from pipeline.sources.read import format_of
from pipeline.sources.texts import read_texts


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("a/b.warc.gz", "warc"),
        ("B.WARC.GZ", "warc"),
        ("x.warc.wet.gz", "warc"),
        ("x.arc", "warc"),
        ("x.warc.zst", "warc"),
        ("s3://b/x.parquet", "parquet"),
        ("https://h/x.jsonl.gz?token=1.2", "jsonl"),
        ("x.ndjson.zst", "jsonl"),
        ("c4.json.gz", "jsonl"),
    ],
)  # fmt: skip
def test_formats_by_name(path, kind):
    assert format_of(path) == kind


@pytest.mark.parametrize("path", ["x", "x.gz", "x.txt", "x.jsonl.bz2", "https://h/x?file=a.warc"])
def test_names_that_say_nothing(path):
    with pytest.raises(InputError, match="its name does not say what it is"):
        format_of(path)
    assert format_of(path, "wet") == "warc"


def test_an_unknown_format():
    with pytest.raises(InputError, match="unknown format 'csv'"):
        format_of("x", "csv")


def test_a_pointer_leads_to_its_record(shared_data):
    path = str(shared_data / "web/crawl-00001.warc.gz")
    pages = [item for item in read_records(path, dump="D") if item.candidate]
    for page in pages[::25]:
        assert read_at(path, page.warc_offset, dump="D") == page


def test_a_pointer_into_a_shared_member_needs_the_id(shared_data):
    path = str(shared_data / "warc-corner/derived/single-gzip-member.warc.gz")
    items = list(read_records(path))
    assert {item.warc_offset for item in items} == {0}
    assert [read_at(path, 0, id=item.id) for item in items] == items
    assert read_at(path, 0) == items[0]


@pytest.mark.parametrize(("offset", "id"), [(1, None), (10**9, None), (0, "no-such-id")])
def test_a_pointer_to_nothing(shared_data, offset, id):
    with pytest.raises(InputError, match="has no record"):
        read_at(str(shared_data / "web/crawl-00001.warc.gz"), offset, id=id)


def test_a_wet_file_is_text(shared_data):
    items = list(read_records(str(shared_data / "warc-corner/real/whirlwind.warc.wet.gz")))
    assert [item.kind for item in items] == ["other", "conversion"]
    assert items[1].text.startswith("Escopete") and items[1].url == "https://an.wikipedia.org/wiki/Escopete"


def test_bare_texts(tmp_path, shared_data):
    (tmp_path / "a.txt").write_bytes(b"line\n" * 300_000 + b"\xff")
    (tmp_path / "b.jsonl").write_text('{"text": "one"}\n{"text": null}\n{"text": "two"}\n')
    pieces = list(read_texts([str(tmp_path / "*")]))
    assert pieces[-2:] == ["one", "two"]
    assert "".join(pieces[:-2]) == "line\n" * 300_000 + "\ufffd" and all(piece.endswith("\n") for piece in pieces[:-3])
    with pytest.raises(InputError, match="no file matches"):
        list(read_texts([str(tmp_path / "none*")]))
