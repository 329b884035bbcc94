"""When two responses are the same page."""

import pytest

from pipeline.sources.payload import payload_digest, quick_key


@pytest.mark.parametrize("make", [payload_digest, quick_key])
def test_the_same_bytes_under_names_of_one_codec_are_the_same_page(make):
    assert make(b"caf\xe9", "latin-1") == make(b"caf\xe9", "windows-1252") == make(b"caf\xe9", "ISO-8859-1")
    assert make(b"page", None) == make(b"page", "no-such-charset")


@pytest.mark.parametrize("make", [payload_digest, quick_key])
def test_other_bytes_or_another_codec_are_another_page(make):
    assert make(b"page", "utf-8") != make(b"pag", "utf-8")
    assert make(b"page", "utf-8") != make(b"page", "koi8-r") != make(b"page", None)


def test_pages_of_two_dumps_are_told_apart_and_so_are_dump_and_codec():
    assert payload_digest(b"page", None, "CC-MAIN-2024-10") != payload_digest(b"page", None, "CC-MAIN-2024-18")
    assert payload_digest(b"page", None, "utf-8") != payload_digest(b"page", "utf-8", "")
    assert len(payload_digest(b"", None)) == 16


def test_a_dump_named_from_a_path_that_is_no_utf_8_has_a_digest():
    assert payload_digest(b"page", None, "dump\udcff") != payload_digest(b"page", None, "dump")
