"""Line dedup: which lines go, from which documents, and what that does to a text."""

import pytest

from pipeline.dedup.lines import LineDedup, line_keys, registrable_domain, scope_of, without_lines

THREE = LineDedup(min_documents=3, min_document_words=None)


@pytest.mark.parametrize(
    ("text", "rest", "removed"),
    [
        ("menu\na\nb", "a\nb", 1),
        ("a\nmenu", "a", 1),
        ("menu", "", 1),
        ("a\n\nmenu\n\nb", "a\n\nb", 1),
        ("a\n\nmenu\n\n\nmenu\n\nb", "a\n\nb", 2),
        ("menu\n\na\n\n\nb\n", "a\n\n\nb\n", 1),
        ("a\n\nmenu\n\n", "a", 1),
        ("a\n menu \nb menu", "a\nb menu", 1),
        ("a\n\n\nb", "a\n\n\nb", 0),
        ("a\nmenu\nb\n\n\nc", "a\nb\n\n\nc", 1),
    ],
)
def test_blank_lines_around_removed_ones(text, rest, removed):
    assert without_lines(text, {"menu"}) == (rest, removed)


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://me:pw@www.shop.example.co.uk:8080/a?b", "example.co.uk"),
        ("HTTP://Sub.Example.COM", "example.com"),
        ("https://www.köln.example.de/", "example.de"),
        ("http://192.168.0.1/x", "192.168.0.1"),
        ("http://[2001:db8::1]:80/x", "2001:db8::1"),
        ("http://localhost/", "localhost"),
        ("https://a.b.nosuchtld/", "b.nosuchtld"),
        ("https://co.uk/", "co.uk"),
        ("", ""),
        ("not a url", "not a url"),
    ],
)
def test_registrable_domains(url, domain):
    assert scope_of(url, THREE) == domain


def test_keys_differ_by_line_and_scope():
    keys = {*map(tuple, line_keys(["a", "b"], "x").tolist()), *map(tuple, line_keys(["a", "b"], "y").tolist())}
    assert len(keys) == 4
    assert line_keys([], "x").shape == (0, 2)
    assert registrable_domain("a.b.example.com") == "example.com"


@pytest.mark.parametrize(
    ("values", "message"),
    [({"min_documents": 1}, "min_documents: must be at least 2, got 1"),
     ({"min_characters": 0}, "min_characters: must be at least 1, got 0"),
     ({"min_document_words": -1}, "min_document_words: must be at least 0, got -1")],
)  # fmt: skip
def test_impossible_values_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        LineDedup(**values)
