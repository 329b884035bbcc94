"""RFC 9309 by its own examples, and files that real sites serve."""

import pytest

from pipeline.crawler.robots import UNREACHABLE, matches, parse_robots

AGENT = "tokenmill/1.0 (+https://site.example/bot)"


@pytest.mark.parametrize(
    ("pattern", "target", "expected"),
    [
        ("/", "/any", True),
        ("/foo", "/foobar", True),
        ("/foo/", "/foo", False),
        ("/*.gif$", "/a/b.gif", True),
        ("/*.gif$", "/a/b.gif?x", False),
        ("/a*b$", "/ab", True),
        ("/a*a$", "/a", False),
        ("/exact$", "/exact", True),
        ("/exact$", "/exactly", False),
        ("/*?", "/page?x", True),
        ("/*?", "/page", False),
        ("*/private", "/x/private/y", True),
        ("/a*b*c", "/a-c-b", False),
        ("/$", "/", True),
        ("/$", "/a", False),
        ("no-slash", "/no-slash", False),
    ],
)
def test_patterns(pattern: str, target: str, expected: bool) -> None:
    assert matches(pattern, target) is expected


def test_a_hostile_pattern_is_quick() -> None:
    assert not matches("/" + "*a" * 500 + "*b$", "/" + "a" * 2000)


def test_the_longest_match_wins_and_allow_wins_a_tie() -> None:
    # RFC 9309, section 5.2
    robots = parse_robots(b"User-Agent: *\nAllow: /example/page/\nDisallow: /example/page/disallowed.gif\n", AGENT)
    assert robots.allows("/example/page/allowed.gif")
    assert not robots.allows("/example/page/disallowed.gif")
    tie = parse_robots(b"User-Agent: *\nDisallow: /page\nAllow: /page\n", AGENT)
    assert tie.allows("/page")


RFC_5_1 = b"""User-Agent: *
Disallow: *.gif$
Disallow: /example/
Allow: /publications/

User-Agent: foobot
Disallow:/
Allow:/example/page.html
Allow:/example/allowed.gif

User-Agent: barbot
User-Agent: bazbot
Disallow: /example/page.html

User-Agent: quxbot
"""


@pytest.mark.parametrize(
    ("agent", "target", "allowed"),
    [
        ("otherbot", "/publications/x", True),
        ("otherbot", "/x.gif", False),
        ("otherbot", "/example/x", False),
        ("FooBot/2.1", "/example/page.html", True),
        ("FooBot/2.1", "/publications/x", False),
        ("barbot", "/example/page.html", False),
        ("barbot", "/x.gif", True),
        ("bazbot", "/example/page.html", False),
        ("quxbot", "/x.gif", True),
    ],
)
def test_the_simple_example_of_the_rfc(agent: str, target: str, allowed: bool) -> None:
    assert parse_robots(RFC_5_1, agent).allows(target) is allowed


def test_groups_of_one_agent_are_joined_and_comments_and_other_lines_passed_over() -> None:
    body = (
        b"\xef\xbb\xbfUser-agent: tokenmill # us\r\nSitemap: http://site.example/map\r\nDisallow: /a # why\r\n"
        b"nonsense\r\nUser-agent: other\r\nDisallow: /\r\n\r\nUSER-AGENT: TokenMill\rDISALLOW : /b\r"
    )
    robots = parse_robots(body, AGENT)
    assert [robots.allows(path) for path in ("/a", "/b", "/c")] == [False, False, True]


def test_an_empty_disallow_forbids_nothing() -> None:
    assert parse_robots(b"User-agent: *\nDisallow:\n", AGENT).allows("/a")


def test_robots_txt_itself_may_always_be_fetched() -> None:
    assert parse_robots(b"User-agent: *\nDisallow: /\n", AGENT).allows("/robots.txt")
    assert UNREACHABLE.allows("/robots.txt")
    assert not UNREACHABLE.allows("/a")


def test_escapes_are_compared_in_one_spelling() -> None:
    robots = parse_robots("User-agent: *\nDisallow: /caf\u00e9\nDisallow: /%7ea\n".encode(), AGENT)
    assert not robots.allows("/caf%C3%A9")
    assert not robots.allows("/~a")


@pytest.mark.parametrize(("line", "delay"), [("2", 2.0), ("0.5", 0.5), ("soon", None), ("-1", None), ("1e9", None)])
def test_crawl_delay(line: str, delay: float | None) -> None:
    assert parse_robots(f"User-agent: *\nCrawl-delay: {line}\n".encode(), AGENT).crawl_delay == delay


@pytest.mark.parametrize("body", [b"", b"\xff\x00" * 500, b"<html>not found</html>", b"Disallow: /\n", b":\n: /\n"])
def test_a_file_without_a_group_forbids_nothing(body: bytes) -> None:
    assert parse_robots(body, AGENT).allows("/a")


def test_rules_after_half_a_megabyte_are_not_read() -> None:
    body = b"User-agent: *\n" + b"#" * 512_000 + b"\nDisallow: /\n"
    assert parse_robots(body, AGENT).allows("/a")
