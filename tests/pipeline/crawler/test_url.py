"""One spelling for each URL, and the links of a page."""

import pytest

from pipeline.crawler.url import find_links, parse_url


@pytest.mark.parametrize(
    ("written", "spelt"),
    [
        ("HTTP://WWW.Site.Example:80", "http://www.site.example/"),
        ("https://site.example:443/a", "https://site.example/a"),
        ("http://site.example:8080/a", "http://site.example:8080/a"),
        ("http://site.example./a#part", "http://site.example/a"),
        ("http://site.example/a/./b/../c/..", "http://site.example/a/"),
        ("http://site.example/../../a", "http://site.example/a"),
        ("http://site.example/%7euser/%2e%2e/x%2fy", "http://site.example/x%2Fy"),
        ("http://site.example/a b?q=c d", "http://site.example/a%20b?q=c%20d"),
        ("http://site.example/100%", "http://site.example/100%25"),
        ("http://site.example/caf\u00e9", "http://site.example/caf%C3%A9"),
        ("http://site.example/caf%E9", "http://site.example/caf%E9"),
        ("http://b\u00fccher.example/", "http://xn--bcher-kva.example/"),
        ("http://[0:0::1]:8000/", "http://[::1]:8000/"),
        ("http://site.example\\a\\b", None),
        ("  http://site.example/a\n/b\t ", "http://site.example/a/b"),
        ("http://site.example/?", "http://site.example/"),
        ("http://user:secret@site.example/", None),
        ("http://site.example:99999/", None),
        ("http://site.example:0/", None),
        ("http://[::1/", None),
        ("http:///path", None),
        ("http://exa mple/", None),
        ("ftp://site.example/", None),
        ("javascript:alert(1)", None),
        ("mailto:someone@site.example", None),
        ("", None),
        ("http://site.example/" + "a" * 2028, "http://site.example/" + "a" * 2028),
        ("http://site.example/" + "a" * 2029, None),
    ],
)
def test_a_url_has_one_spelling(written: str, spelt: str | None) -> None:
    parsed = parse_url(written)
    assert (parsed and parsed.text) == spelt
    assert spelt is None or parse_url(spelt) == parsed


def test_a_reference_is_taken_relative_to_its_page() -> None:
    base = "http://site.example/a/b?c=d"
    found = {
        ref: url.text for ref in ("x", "/x", "?x", "//other.example/x", "../../x") if (url := parse_url(ref, base))
    }
    assert found == {
        "x": "http://site.example/a/x",
        "/x": "http://site.example/x",
        "?x": "http://site.example/a/b?x",
        "//other.example/x": "http://other.example/x",
        "../../x": "http://site.example/x",
    }


def test_the_query_is_in_the_charset_of_the_page_and_the_path_in_utf8() -> None:
    body = '<a href="/caf\u00e9?q=\u00e9">'.encode("latin-1")
    assert [url.text for url in find_links(body, "http://site.example/", "iso-8859-1").urls] == [
        "http://site.example/caf%C3%A9?q=%E9"
    ]


def test_links_come_once_in_their_order_without_those_not_to_be_followed() -> None:
    body = b"""<base href="/base/"><base href="/ignored/">
    <a href="two"></a><A HREF=' one '>x<a href="two#part"><area href="three"><iframe src="four"></iframe>
    <a rel="external NoFollow" href="no"></a><a href="#top"></a><a href="mailto:x@y.example"></a><a name="anchor"></a>
    <a href="http://[bad/"></a><a href="five" <b>"""
    links = find_links(body, "http://site.example/page", None)
    assert [url.target for url in links.urls] == ["/base/two", "/base/one", "/base/three", "/base/four", "/base/five"]
    assert links.unusable == 2


@pytest.mark.parametrize("content", ["nofollow", "NOINDEX, NoFollow", "none"])
def test_a_page_that_asks_not_to_follow_has_no_links(content: str) -> None:
    body = f'<meta name="Robots" content="{content}"><a href="x">'.encode()
    assert find_links(body, "http://site.example/", None).urls == ()


def test_noindex_alone_leaves_the_links() -> None:
    body = b'<meta name="robots" content="noindex"><a href="x">'
    assert [url.text for url in find_links(body, "http://site.example/", None).urls] == ["http://site.example/x"]


@pytest.mark.parametrize("body", [b"", b"\x00" * 100, b"\xff\xfe", b"<a href=", b"<" * 10_000, b"<div>" * 50_000])
def test_bytes_that_are_no_page_have_no_links(body: bytes) -> None:
    assert find_links(body, "http://site.example/", "no-such-charset").urls == ()
