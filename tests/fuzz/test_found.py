"""What the fuzzer found, made small: each of these broke something once."""

import gzip
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner
from warc_pages import Page, article, warc_member

from pipeline.cli.main import app
from pipeline.config import load_config
from pipeline.contract.errors import ConfigError, InputError, IntegrityError, UserError
from pipeline.contract.manifest import read_json, write_json
from pipeline.contract.run import RunRecord
from pipeline.contract.tables import read_batches, read_table
from pipeline.contract.yaml_text import read_yaml
from pipeline.crawler.url import find_links, parse_url
from pipeline.engine.ledger import Ledger
from pipeline.identity import remote_settings
from pipeline.sources.read import read_records
from pipeline.sources.record import Gap, Record
from pipeline.sources.warc.reader import read_warc
from pipeline.tokens.tokenizer import load_tokenizer
from training import checkpoint
from training.data.tokenizer import parse_tokenizer


def members(number: int) -> list[bytes]:
    return [warc_member(Page(url=f"https://a.example/{i}", html=article(i, 3))) for i in range(number)]


def known(item: Record | Gap) -> tuple[object, ...]:
    if isinstance(item, Gap):
        return item.warc_offset, item.length, item.cause
    return item.id, item.warc_offset, item.warc_length, item.fault, item.body


def assert_reads_on_from_everywhere(path: Path) -> list[Record | Gap]:
    """Reading from any offset gives what came from there on when the file was read from its beginning."""
    items = list(read_warc(str(path)))
    for offset in sorted({item.warc_offset for item in items}):
        again = [known(item) for item in read_warc(str(path), start=offset)]
        assert again == [known(item) for item in items if item.warc_offset >= offset], f"from {offset} on"
    return items


def test_junk_members_before_a_record_that_begins_in_one_of_them(tmp_path):
    """The two gaps were told as one, over the record's offset: who resumed there met an item more, and a page twice."""
    junk = gzip.compress(b"not a record\n" * 3, mtime=0)
    record = gzip.decompress(members(1)[0])
    path = tmp_path / "junk.warc.gz"
    path.write_bytes(junk + gzip.compress(b"not a record either\n" + record, mtime=0) + members(2)[1])
    items = assert_reads_on_from_everywhere(path)
    assert [item.cause if isinstance(item, Gap) else item.kind for item in items[:3]] == ["junk", "junk", "response"]


def test_a_corrupt_member_is_decoded_alike_wherever_reading_began(tmp_path):
    """What was decoded of it hung on where a read of the file had ended, and with it whether a record was found."""
    noise = random.Random(3).randbytes(60_000).hex()
    big = [warc_member(Page(url=f"https://b.example/{i}", html=f"<p>{noise[i:]}</p>")) for i in range(3)]
    data = bytearray(b"".join([members(1)[0], *big, members(2)[1]]))
    for number, place in enumerate((4_000, 25_000, 40_000)):
        at = len(members(1)[0]) + sum(map(len, big[:number])) + place
        data[at : at + 40] = bytes(40)
    path = tmp_path / "corrupt.warc.gz"
    path.write_bytes(data)
    assert_reads_on_from_everywhere(path)


@pytest.mark.parametrize("cut", [9, 30, 90, 150, 200])
def test_a_header_cut_off_before_a_member_that_begins_with_a_record(tmp_path, cut):
    """FastWARC reads on into the next member: the record before got a wrong length, and two records one header."""
    first, second, third, fourth = members(4)
    torn = gzip.compress(gzip.decompress(second)[:cut], mtime=0)
    path = tmp_path / "torn.warc.gz"
    path.write_bytes(first + torn + third + fourth)
    items = assert_reads_on_from_everywhere(path)
    assert (items[0].warc_offset, items[0].warc_length) == (0, len(first))  # type: ignore[union-attr]


def test_a_header_spread_over_members_whose_borders_are_line_ends(tmp_path):
    first, second, third = members(3)
    lines = gzip.decompress(second).split(b"\r\n", 3)
    pieces = [b"WARC/1.0\r\nWARC-Type: request\r\n", b"\r\n".join(lines)]
    path = tmp_path / "spread.warc.gz"
    path.write_bytes(first + b"".join(gzip.compress(piece, mtime=0) for piece in pieces) + third)
    assert_reads_on_from_everywhere(path)


def test_links_of_a_page_that_says_its_charset_is_idna():
    """A codec of Python's that is no charset: UnicodeError ended the crawl of the page."""
    body = f'<a href="/?q={"ä" * 70}.{"x" * 80}">x</a>'.encode()
    assert [url.text[:28] for url in find_links(body, "https://a.example/", "idna").urls] == [
        "https://a.example/?q=%C3%A4%"
    ]


def test_a_lone_surrogate_in_a_path_does_not_begin_a_query():
    url = parse_url("https://a.example/x\ud800y")
    assert url is not None and url.text == "https://a.example/x%EF%BF%BDy"
    assert parse_url(url.text) == url


@pytest.mark.parametrize(
    "text", ["a: !!timestamp x", "a: !!bool x", "a: !!int x", "a: !!set x", "!!map 3", "a: !!omap 3"]
)
def test_a_yaml_tag_that_does_not_fit_is_an_error_of_the_file(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"c\.yaml: "):
        read_yaml(path)


def test_what_a_message_quotes_stays_on_its_line():
    error = UserError("a\nfile", "has the key 'x\n\x1b[31m\u202e\ud800'", known=["k" * 5000, "a"], hint="m" * 5000)
    lines = str(error).split("\n")
    assert lines[0] == r"a\nfile: has the key 'x\n\x1b[31m\u202e\ud800'"
    assert [len(line) <= 700 for line in lines] == [True] * 3
    assert str(IntegrityError("a\u2028b")) == r"a\u2028b"


def test_a_damaged_table_is_named(tmp_path):
    path = tmp_path / "part.parquet"
    pq.write_table(pa.table({"id": ["a", "b"] * 500, "text": [str(i) * 9 for i in range(1000)]}), path)
    whole = path.read_bytes()
    for at in (len(whole) - 5, 60):
        path.write_bytes(whole[:at] + b"\xff\xff\xff\xff" + whole[at + 4 :])
        with pytest.raises(IntegrityError, match=r"part\.parquet: cannot be read as a table"):
            read_table(path)
        with pytest.raises(IntegrityError, match=r"part\.parquet: cannot be read as a table"):
            list(read_batches(path, ["id", "text"]))


def test_a_column_whose_name_is_not_utf8_is_an_error_of_the_file(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": ["a"], "other": ["b"]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"other", b"oth\xecr"))
    with pytest.raises(InputError, match=r"rows\.parquet: cannot be read as parquet"):
        list(read_records(str(path)))


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.timestamp("ms", "Asia/Tokyo"), pa.date64()])
def test_a_point_in_time_that_python_cannot_hold_is_none(tmp_path, kind):
    """OverflowError ended the file. The row stays, as a row with a date that is none does."""
    path = tmp_path / "rows.parquet"
    dates = pa.array([86_400_000, 2**61], pa.int64()).cast(kind)
    pq.write_table(pa.table({"text": ["a", "b"], "date": dates, "id": dates}), path)
    good, bad = read_records(str(path))
    assert (good.date.year, good.text) == (1970, "a")
    assert (bad.date, bad.text, bad.fault) == (None, "b", None)
    assert good.id.startswith("197") and len(bad.id) > 8
    assert [item.id for item in read_records(str(path), start=1)] == [bad.id]


def test_the_zone_of_a_point_in_time_does_not_matter(tmp_path):
    """The last second of the year 9999 in UTC is none in Tokyo; a zone may have a name that no one knows."""
    path = tmp_path / "rows.parquet"
    for zone in ("Asia/Tokyo", "Nowhere/Land"):
        dates = pa.array([253_402_300_799], pa.timestamp("s", zone))
        pq.write_table(pa.table({"text": ["a"], "date": dates}), path)
        [record] = read_records(str(path))
        assert record.date.isoformat() == "9999-12-31T23:59:59+00:00"


def word_level(**fields: object) -> bytes:
    """A tokenizer.json of three words."""
    model = {"type": "WordLevel", "vocab": {"the": 0, "[UNK]": 1, "</s>": 2}, "unk_token": "[UNK]", **fields}
    parts = dict.fromkeys(("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder"))
    return json.dumps({"version": "1.0", "added_tokens": [], **parts, "model": model}).encode()


def test_an_id_beyond_any_vocabulary_is_refused(tmp_path):
    """An array of 4 GB, or an abort in the library, which writes a tokenizer by counting up to its largest id."""
    path = tmp_path / "tokenizer.json"
    path.write_bytes(word_level(vocab={"the": 0, "[UNK]": 1, "</s>": 2**32 - 1}))
    with pytest.raises(InputError, match="has ids up to 4294967295"):
        load_tokenizer(path)
    with pytest.raises(InputError, match="has ids up to 4294967295"):
        parse_tokenizer(path.read_bytes(), "t")
    path.write_bytes(word_level())
    assert load_tokenizer(path).info.vocabulary_size == 3


def test_a_tokenizer_that_kills_the_library_is_refused(tmp_path):
    """A token of 200,000 letters: the library frees its tree of letters by as many nested calls, and the stack ends."""
    path = tmp_path / "tokenizer.json"
    path.write_bytes(word_level(type="Unigram", vocab=[["<unk>", 0.0], ["a" * 200_000, 0.0]], unk_id=0))
    for load in (load_tokenizer, checkpoint.load_tokenizer, lambda path: parse_tokenizer(path.read_bytes(), str(path))):
        with pytest.raises(InputError, match=r"tokenizer\.json: the tokenizers library crashes on it: SIGSEGV"):
            load(path)
    result = CliRunner().invoke(app, ["tokenizer", "show", str(path)])
    assert isinstance(result.exception, InputError)


def test_a_model_without_its_token_for_unknown_words_is_named(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(word_level(unk_token="[GONE]"))
    tokenizer = load_tokenizer(path)
    assert tokenizer.encode(["the"])[0].tolist() == [0]
    with pytest.raises(InputError, match=r"tokenizer\.json: cannot encode a text"):
        tokenizer.encode(["river"])


def test_a_note_of_tasks_that_is_none_is_named(tmp_path):
    ledger = Ledger(tmp_path, "extract")
    ledger.announce(3)
    [note] = (tmp_path / "steps/extract").rglob("tasks.json")
    for text in ("7", "{}", '{"tasks": null}'):
        note.write_text(text)
        with pytest.raises(IntegrityError, match=r"tasks\.json: does not say how many"):
            ledger.announced()


def test_settings_of_a_wrong_type_in_run_json_are_named():
    record = RunRecord(version="", versions={}, config={"run": {"remote": {"bytes_per_second": "fast"}}},
                       fingerprint="", seed=0, inputs=(), files={}, state="done")  # fmt: skip
    with pytest.raises(ConfigError, match=r"run\.json: config\.run\.remote: bytes_per_second: expected a number"):
        remote_settings(record, {})


@pytest.mark.parametrize("name", [".", "../.", "a..b", "", "a.b c"])
def test_a_stage_name_that_no_module_can_have(tmp_path, name):
    (tmp_path / "c.yaml").write_text(json.dumps({"filter": [{name: {}}]}))
    with pytest.raises(ConfigError):
        load_config(tmp_path / "c.yaml")


def test_a_config_that_holds_itself(tmp_path):
    (tmp_path / "c.yaml").write_text("seed: &a [*a]\n")
    with pytest.raises(ConfigError, match="something that holds itself"):
        load_config(tmp_path / "c.yaml")


def test_json_holds_a_lone_surrogate(tmp_path):
    write_json(tmp_path / "x.json", {"a\ud800": "b\udfff"})
    assert read_json(tmp_path / "x.json") == {"a\ud800": "b\udfff"}
