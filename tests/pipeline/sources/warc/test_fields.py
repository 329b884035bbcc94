"""Header fields as they come: folded, doubled, without colons, with lengths that are none."""

import pytest

from pipeline.sources.warc.fields import declared_length, parse_content_type, parse_fields


def test_names_are_lower_case_folded_lines_are_joined_and_the_first_of_a_name_stands():
    lines = b"Content-Type: text/html\r\nno colon here\r\nX-Long: one\r\n\t two\r\nx-long: three\r\n:empty\r\n"
    assert parse_fields(lines) == {b"content-type": b"text/html", b"x-long": b"one two", b"": b"empty"}
    assert parse_fields(b"") == {}


@pytest.mark.parametrize(
    ("value", "length"),
    [(b"0", 0), (b"17", 17), (b"9" * 19, 10**19 - 1), (b"9" * 20, None), (b"-1", None), (b"1e3", None), (b" ", None)],
)
def test_a_length_is_a_plain_number_of_at_most_nineteen_digits(value, length):
    assert declared_length({b"content-length": value}) == length
    assert declared_length({}) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'Text/HTML; Charset="ISO-8859-1"; x=y', ("text/html", "iso-8859-1")),
        (b"text/html;charset = utf-8", ("text/html", "utf-8")), (b"; charset='koi8-r'", (None, "koi8-r")),
        (b"application/pdf", ("application/pdf", None)), (b"text/html; charset=", ("text/html", None)),
        (b"", (None, None)),
    ],
)  # fmt: skip
def test_the_type_and_charset_of_a_response(value, expected):
    assert parse_content_type({b"content-type": value}) == expected
