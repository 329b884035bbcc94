"""One host and its robots.txt, asked for over loopback."""

import threading

import pytest

from pipeline.crawler.fetch import Failure, Fetcher, Response
from pipeline.crawler.host import MAX_ROBOTS_REDIRECTS, Host, Refusal, Stopped
from pipeline.crawler.url import parse_url


@pytest.fixture
def visit(web):
    """Visits paths of the test server as one crawler does."""
    stop = threading.Event()
    fetcher = Fetcher(user_agent="tokenmill/1", timeout=5, max_bytes=1 << 20, private_hosts=frozenset({"127.0.0.1"}))
    host = Host(fetcher=fetcher, delay=0, max_crawl_delay=30, stop=stop)

    def go(path):
        return host.visit(parse_url(web.url + path))

    go.stop = stop
    return go


def robots(answer, *lines):
    return answer("\n".join(("User-agent: *", *lines, "")), Content_Type="text/plain")


def test_robots_txt_is_read_once_and_decides_for_every_page(web, visit, answer):
    web.answers |= {"/robots.txt": robots(answer, "Disallow: /private"), "/a": answer("A"), "/b": answer("B")}
    assert [visit(path).body for path in ("/a", "/b")] == [b"A", b"B"]
    assert visit("/private/x") == Refusal("robots_disallowed")
    assert web.paths == ["/robots.txt", "/a", "/b"]


@pytest.mark.parametrize(
    ("status", "allowed"),
    [
        ("404 Not Found", True),
        ("403 Forbidden", True),
        ("429 Too Many", False),
        ("500 Oops", False),
        ("503 No", False),
        ("301 Without Location", False),
    ],
)
def test_a_robots_txt_that_cannot_be_had(web, visit, answer, status, allowed):
    web.answers |= {"/robots.txt": answer("User-agent: *\nDisallow: /\n", status), "/": answer("page")}
    found = visit("/")
    assert isinstance(found, Response) if allowed else found.cause == "robots_unreachable"
    assert web.paths == ["/robots.txt", "/"][: 1 + allowed]


def test_a_robots_txt_that_is_no_http_forbids_everything_and_says_why(web, visit):
    web.answers["/robots.txt"] = b"junk\r\n"
    found = visit("/")
    assert found.cause == "robots_unreachable" and found.detail.startswith("robots.txt: malformed: ")


@pytest.mark.parametrize(("redirects", "read"), [(MAX_ROBOTS_REDIRECTS, True), (MAX_ROBOTS_REDIRECTS + 1, False)])
def test_robots_txt_is_followed_through_so_many_redirects(web, visit, answer, redirects, read):
    names = ["/robots.txt", *(f"/r{n}" for n in range(redirects))]
    web.answers |= {name: answer("", "301 Moved", Location=names[n + 1]) for n, name in enumerate(names[:-1])}
    web.answers[names[-1]] = robots(answer, "Disallow: /")
    expected = (
        Refusal("robots_disallowed") if read else Refusal("robots_unreachable", "robots.txt: more than 5 redirects")
    )
    assert visit("/") == expected


def test_robots_txt_is_not_followed_to_another_host(web, visit, answer):
    web.answers["/robots.txt"] = answer("", "301 Moved", Location="http://elsewhere.example/robots.txt")
    assert visit("/") == Refusal("robots_unreachable", "robots.txt is redirected to another host")


@pytest.mark.parametrize(("seconds", "refused"), [("0", False), ("30.5", True)])
def test_a_host_that_asks_for_too_long_a_pause_is_left_alone(web, visit, answer, seconds, refused):
    web.answers |= {"/robots.txt": robots(answer, f"Crawl-delay: {seconds}"), "/": answer("page")}
    found = visit("/")
    assert found == Refusal("robots_crawl_delay", "asks for 30.5 s") if refused else found.status == 200


def test_a_failure_is_handed_on(web, visit):
    web.answers["/"] = b"junk\r\n"
    assert isinstance(visit("/"), Failure)


def test_nobody_is_asked_once_the_crawl_ends(web, visit):
    visit.stop.set()
    with pytest.raises(Stopped):
        visit("/")
    assert web.requests == []


def test_the_end_of_the_crawl_ends_a_pause(web, visit, answer):
    web.answers |= {"/a": answer("busy", "503 Busy", Retry_After="50"), "/robots.txt": answer("", "404 Not Found")}
    assert visit("/a").status == 503
    threading.Timer(0.05, visit.stop.set).start()
    with pytest.raises(Stopped):
        visit("/b")
    assert web.paths == ["/robots.txt", "/a"]
