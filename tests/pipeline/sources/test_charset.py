"""Bytes to characters."""

import base64
import json

import pytest

from pipeline.sources import read_records
from pipeline.sources.charset import codec_name, declared_in, decode
from pipeline.sources.record import Record

GERMAN = "Die Mühle am Fluß: „Größe“ – für Übung, Äpfel und Öl. " * 20
RUSSIAN = "Мельница стоит там, где ручей выходит из леса. " * 20
JAPANESE = "水車小屋は小川が森を出るところに立っている。" * 20
CHINESE = "磨坊座落在小溪流出森林的地方。" * 20
KOREAN = "방앗간은 시냇물이 숲을 벗어나는 곳에 서 있다. " * 20


def html(text: str, charset: str | None = None) -> str:
    meta = f'<meta http-equiv="Content-Type" content="text/html; charset={charset}">' if charset else ""
    return f"<html><head>{meta}<title>x</title></head><body>{text}</body></html>"


def test_valid_utf_8_is_utf_8_whatever_anyone_says():
    body = html(GERMAN, "iso-8859-1").encode()
    assert decode(body, "windows-1251") == (body.decode(), "utf-8", 0)
    assert decode(b"plain ascii", "shift_jis").text == "plain ascii"
    assert decode(b"") == ("", "utf-8", 0)


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_in_its_other_forms(codec):
    assert decode(html(JAPANESE if codec == "utf-16" else GERMAN).encode(codec)).text == html(
        JAPANESE if codec == "utf-16" else GERMAN
    )


@pytest.mark.parametrize(
    ("text", "codec", "label"),
    [
        (GERMAN, "cp1252", "iso-8859-1"), (GERMAN, "cp1252", "Latin1"), (RUSSIAN, "cp1251", "windows-1251"),
        (RUSSIAN, "koi8-r", "KOI8-R"), (JAPANESE, "cp932", "Shift_JIS"), (JAPANESE, "cp932", "x-sjis"),
        (JAPANESE, "euc_jp", "EUC-JP"), (JAPANESE, "iso2022_jp", "ISO-2022-JP"), (CHINESE, "gb18030", "gb2312"),
        (CHINESE.replace("座", "").replace("磨", ""), "gb2312", "GBK"), (KOREAN, "cp949", "ks_c_5601-1987"),
        (KOREAN, "euc_kr", "EUC-KR"),
    ],
)  # fmt: skip
def test_what_the_header_or_the_page_declares(text, codec, label):
    for body, header in ((html(text).encode(codec), label), (html(text, label).encode(codec), None)):
        assert decode(body, header)[::2] == (body.decode(codec), 0)


@pytest.mark.parametrize(
    ("text", "codec"),
    [(RUSSIAN, "cp1251"), (RUSSIAN, "koi8-r"), (JAPANESE, "cp932"), (JAPANESE, "euc_jp"), (CHINESE, "gb18030"),
     (KOREAN, "cp949"), (GERMAN, "cp1252")],
)  # fmt: skip
def test_what_nobody_declares_is_detected(text, codec):
    assert decode(html(text).encode(codec)).text == html(text)
    assert decode(html(text).encode(codec), "no-such-charset").text == html(text)


def test_where_header_and_page_disagree_the_bytes_decide():
    assert decode(html(RUSSIAN, "windows-1251").encode("cp1251"), "iso-8859-1").text == html(RUSSIAN, "windows-1251")
    assert decode(html(RUSSIAN, "iso-8859-1").encode("cp1251"), "windows-1251").text == html(RUSSIAN, "iso-8859-1")
    assert decode(html(JAPANESE, "Shift_JIS").encode("cp932"), "utf-8").text == html(JAPANESE, "Shift_JIS")


def test_damaged_utf_8_stays_utf_8():
    body = html(GERMAN).encode()
    assert decode(body.replace(b"</body>", b"\xe9\xff</body>"))[1:] == ("utf-8", 2)
    assert decode(html("ü").encode()[:-14] + b"\xc3", "utf-8") == (html("ü")[:-14] + "\ufffd", "utf-8", 1)
    cut = GERMAN.encode()[: GERMAN.encode().index("ü".encode(), 200) + 1]
    assert decode(cut)[1:] == ("utf-8", 1)


def test_damaged_shift_jis_stays_shift_jis():
    body = html(JAPANESE, "Shift_JIS").encode("cp932").replace(b"</body>", b"\x85\xff</body>")
    found = decode(body)
    assert found.charset == "cp932" and 1 <= found.replaced <= 3


def test_nothing_decodes_everything_is_replaced_and_nothing_raises():
    body = bytes(range(256)) * 20
    for label in (None, "utf-8", "shift_jis", "utf-16", "utf-7", "big5", "idna", "rot13", "\0", "x" * 5000):
        assert decode(body, label).text


@pytest.mark.parametrize(
    ("label", "name"),
    [("ISO-8859-1", "cp1252"), (" UTF8 ", "utf-8"), ("gb2312", "gb18030"), ("us-ascii", "cp1252"),
     ("windows-31j", "cp932"), ("base64", None), ("rot13", None), ("unicode_escape", None), ("punycode", None),
     ("nonsense", None), ("", None),
     (None, None), ("\0", None), ("../etc", None)],
)  # fmt: skip
def test_labels(label, name):
    assert codec_name(label) == name


@pytest.mark.parametrize(
    ("page", "name"),
    [
        (b'<meta charset="windows-1251">', "cp1251"),
        (b"<META content='text/html;charset=Shift_JIS' http-equiv=x>", "cp932"),
        (b"<?xml version='1.0' encoding='ISO-8859-2'?><html>", "iso8859-2"), (b'<meta charset="utf-16">', "utf-8"),
        (b'<script src="a.js" charset="gbk"></script>', None), (b"<p>charset=gbk</p>", None),
        (b" " * 8000 + b'<meta charset="gbk">', "gb18030"), (b" " * 9000 + b'<meta charset="gbk">', None),
    ],
)  # fmt: skip
def test_what_a_page_says_of_itself(page, name):
    assert declared_in(page) == name


def test_legacy_texts_without_any_label(shared_data):
    """The Czech one is labelled Latin-2 but holds Windows-1250's letters where Latin-2 has control codes."""
    for line in (shared_data / "text/legacy_encodings.jsonl").read_text().splitlines():
        item = json.loads(line)
        body = base64.b64decode(item["bytes_base64"])
        assert decode(body).text == body.decode("cp1250" if item["lang"] == "cs" else codec_name(item["encoding"])), (
            item["name"]
        )


@pytest.mark.parametrize("header", [None, "utf-8", "iso-8859-1", "shift_jis", "nonsense"])
def test_real_pages_decode_right_whatever_their_header_says(shared_data, header):
    listed = map(json.loads, (shared_data / "web/pages.jsonl").read_text().splitlines())
    charsets = {page["offset"]: page["charset"] for page in listed if str(page["warc"]).endswith("crawl-00001.warc.gz")}
    wrong = []
    for item in read_records(str(shared_data / "web/crawl-00001.warc.gz")):
        if isinstance(item, Record) and item.candidate and charsets[item.warc_offset]:
            right = item.body.decode(codec_name(charsets[item.warc_offset]), "replace").removeprefix("\ufeff")
            if decode(item.body, header).text != right:
                wrong.append(item.url)
    assert wrong == []


def test_corner_case_charsets_decode_without_replacement(shared_data):
    pages = [item for item in read_records(str(shared_data / "warc-corner/derived/charsets.warc.gz")) if item.candidate]
    assert [decode(page.body, page.charset)[1:] for page in pages] == [
        ("cp1250", 0), ("cp1252", 0), ("gb18030", 0), ("cp1252", 0), ("cp1250", 0), ("cp1252", 0),
    ]  # fmt: skip
