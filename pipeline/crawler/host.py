"""One host and the manners it is owed: its robots.txt, one request at a time, a pause between two."""

import threading
import time
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urljoin

from pipeline.crawler.fetch import Failure, Fetcher, Response
from pipeline.crawler.robots import MAX_BYTES, UNAVAILABLE, UNREACHABLE, Robots, parse_robots
from pipeline.crawler.url import Url, parse_url

MAX_ROBOTS_REDIRECTS = 5
"""RFC 9309, section 2.3.1.2."""
MAX_RETRY_AFTER = 60.0
"""A `Retry-After` is honoured up to so many seconds before the next page of that host."""
BUSY = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a URL was not asked for."""

    cause: Literal["robots_disallowed", "robots_unreachable", "robots_crawl_delay", "host_unreachable"]
    detail: str = ""


class Stopped(Exception):
    """The crawl ends; nobody waits for this page any more."""


@dataclass(kw_only=True)
class Host:
    """Visits pages of one site, never two at once."""

    fetcher: Fetcher
    delay: float
    max_crawl_delay: float
    stop: threading.Event
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _robots: dict[str, tuple[Robots, str]] = field(default_factory=dict)
    _ready_at: float = 0.0

    def visit(self, url: Url) -> Response | Failure | Refusal:
        """Fetch a page if robots.txt allows it, when the host may be asked again."""
        with self._lock:
            if url.origin not in self._robots:
                self._robots[url.origin] = self._read_robots(url)
            robots, reason = self._robots[url.origin]
            if robots.unreachable:
                return Refusal("robots_unreachable", reason)
            if not robots.allows(url.target):
                return Refusal("robots_disallowed")
            if robots.crawl_delay is not None and robots.crawl_delay > self.max_crawl_delay:
                return Refusal("robots_crawl_delay", f"asks for {robots.crawl_delay:g} s")
            return self._fetch(url, max(self.delay, robots.crawl_delay or 0.0))

    def _fetch(self, url: Url, delay: float, max_bytes: int | None = None) -> Response | Failure:
        wait = self._ready_at - time.monotonic()
        if self.stop.is_set() or (wait > 0 and self.stop.wait(wait)):
            raise Stopped
        result = self.fetcher(url, max_bytes)
        busy = isinstance(result, Response) and result.status in BUSY
        retry = result.header("Retry-After") if isinstance(result, Response) and busy else None
        retry_after = float(retry) if retry and retry.isdecimal() and len(retry) < 9 else 0.0
        self._ready_at = time.monotonic() + max(delay, min(retry_after, MAX_RETRY_AFTER))
        return result

    def _read_robots(self, url: Url) -> tuple[Robots, str]:
        """The site's rules, and the reason where they cannot be had.

        RFC 9309, section 2.3.1: 2xx is read, redirects are followed, 4xx means there are no rules, and 5xx or no
        answer forbids everything. 429 counts as 5xx: a host that is busy asks for less. A redirect to another host is
        not followed and forbids everything, for this crawler stays where it was sent.
        """
        at = parse_url("/robots.txt", url.text)
        for _ in range(MAX_ROBOTS_REDIRECTS + 1):
            if at is None or at.site != url.site:
                return UNREACHABLE, "robots.txt is redirected to another host"
            result = self._fetch(at, self.delay, MAX_BYTES)
            if isinstance(result, Failure):
                return UNREACHABLE, f"robots.txt: {result.cause}: {result.detail}"
            if 300 <= result.status < 400 and (location := result.header("Location")):
                at = parse_url(urljoin(at.text, location))
                continue
            return self._judge(result)
        return UNREACHABLE, f"robots.txt: more than {MAX_ROBOTS_REDIRECTS} redirects"

    def _judge(self, response: Response) -> tuple[Robots, str]:
        if 200 <= response.status < 300 and response.truncated in {None, "length"}:
            return parse_robots(response.body, self.fetcher.user_agent), ""
        if 400 <= response.status < 500 and response.status not in BUSY:
            return UNAVAILABLE, ""
        return UNREACHABLE, f"robots.txt: status {response.status}" + (" cut short" if response.truncated else "")
