"""A small, polite crawler that leaves WARC files: `tokenmill crawl --seed URL --limit N --output DIR`.

It obeys robots.txt, sends a host one request at a time with a pause between, and stays on the hosts it was given.
Pages come breadth-first: waves of links, in each wave one page of every host in turn, sorted by URL. The order, and
with a fixed `date` every byte, follows from what the servers answer and not from how fast they do.

    OUT/crawl.json            settings, state, summary
    OUT/crawl-00000.warc.gz   request, response and metadata of each page that answered; robots.txt is not stored
    OUT/crawl-00000.jsonl     one line for every URL tried: what came of it, where it stands, which links it led to

A crawl that was killed goes on where its last complete file ended when the same command is run again: complete files
are followed through their indexes, not fetched again. A finished crawl is returned as it is; a folder begun with other
settings is refused.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pipeline.contract.errors import ConfigError, IntegrityError
from pipeline.crawler.fetch import Failure, Fetcher, Response
from pipeline.crawler.frontier import Entry, Frontier
from pipeline.crawler.host import Host, Refusal
from pipeline.crawler.output import REDIRECTS, CrawlFolder, Outcome, Tally
from pipeline.crawler.settings import CrawlConfig, CrawlSummary
from pipeline.crawler.url import Url, find_links, parse_url, refuses_following

__all__ = ["CrawlConfig", "CrawlSummary", "Outcome", "crawl"]

GIVE_UP_AFTER = 5
"""Failures in a row after which a host is left alone."""
HTML = frozenset({"text/html", "application/xhtml+xml"})
Result = Response | Failure | Refusal


def crawl(
    seeds: Sequence[str],
    output: Path,
    *,
    on_outcome: Callable[[Outcome], None] | None = None,
    **settings: Any,
) -> CrawlSummary:
    """Crawl into `output`, or go on with the crawl that is there.

    Args:
        seeds: http(s) URLs to start from.
        output: the folder for WARC files, indexes and `crawl.json`; made if missing.
        on_outcome: called for every URL, in order, also for those of an earlier attempt.
        settings: the other fields of `CrawlConfig`.

    Raises:
        ConfigError: a seed is no http(s) URL, or a setting makes no sense.
        InputError: `output` holds something else, a crawl with other settings, or one that is running.
        IntegrityError: the files of an earlier attempt do not fit together.
    """
    try:
        config = CrawlConfig(seeds=tuple(seeds), **settings)
    except ValueError as error:
        name, _, problem = str(error).partition(": ")
        raise ConfigError(f"--{name.replace('_', '-')}", problem) from error
    config.seed_urls()
    folder = CrawlFolder(output, config)
    with folder.locked():
        return folder.finished() or _Crawl(config, folder, on_outcome).run()


class _Crawl:
    """One crawl from the first seed to the summary. Only `Host.visit` runs in other threads."""

    def __init__(self, config: CrawlConfig, folder: CrawlFolder, on_outcome: Callable[[Outcome], None] | None) -> None:
        self.config, self.folder, self.on_outcome = config, folder, on_outcome
        self.frontier = Frontier(config.seed_urls(), same_host=config.same_host, max_depth=config.max_depth)
        self.fetcher = Fetcher(
            user_agent=config.user_agent,
            timeout=config.timeout,
            max_bytes=config.max_bytes,
            private_hosts=config.private_hosts(),
            connect_to=config.endpoints(),
        )
        self.tally = Tally()
        self.previous = deque(folder.read_outcomes())
        self.hosts: dict[str, Host] = {}
        self.failures = Counter[str]()
        self.stop = threading.Event()

    def run(self) -> CrawlSummary:
        pool = ThreadPoolExecutor(self.config.concurrency, thread_name_prefix="crawl")
        try:
            while self.tally.requested < self.config.limit and (wave := deque(self.frontier.take())):
                self._repeat(wave)
                for entry, result in self._visit(wave, pool):
                    self._record(entry, result)
        finally:
            self.stop.set()
            pool.shutdown(cancel_futures=True)
        if self.previous:
            raise IntegrityError(f"{self.folder.folder}: its index has {self.previous[0].url}, which nothing leads to")
        summary = self.tally.summary()
        self.folder.finish(summary)
        return summary

    def _repeat(self, wave: deque[Entry]) -> None:
        """Take from the front of the wave what an earlier attempt has done."""
        while wave and self.previous:
            entry, outcome = wave.popleft(), self.previous.popleft()
            if entry.url.text != outcome.url:
                raise IntegrityError(f"{self.folder.folder}: its index has {outcome.url} where {entry.url.text} is due")
            self.frontier.offer(entry, map(_known, outcome.links), redirect=outcome.redirect)
            self._count(entry, outcome)

    def _visit(self, wave: deque[Entry], pool: ThreadPoolExecutor) -> Iterator[tuple[Entry, Result]]:
        """The results of a wave in its order, a few requests ahead; never more requests than the limit allows."""
        ahead: deque[tuple[Entry, Future[Result]]] = deque()
        while True:
            room = min(self.config.concurrency, self.config.limit - self.tally.requested) - len(ahead)
            while wave and room > 0:
                entry = wave.popleft()
                ahead.append((entry, pool.submit(self._host(entry.url).visit, entry.url)))
                room -= 1
            if not ahead:
                return
            entry, future = ahead.popleft()
            yield entry, self._given_up(entry) or future.result()

    def _record(self, entry: Entry, result: Result) -> None:
        links, ignored = self._follow(entry, result) if isinstance(result, Response) else ([], Counter[str]())
        self._count(entry, self.folder.write(entry, result, links, dict(sorted(ignored.items()))))

    def _count(self, entry: Entry, outcome: Outcome) -> None:
        if outcome.outcome == "stored":
            self.failures[entry.url.site] = 0
        elif outcome.requested:
            self.failures[entry.url.site] += 1
        self.tally.add(outcome)
        if self.on_outcome is not None:
            self.on_outcome(outcome)

    def _follow(self, entry: Entry, response: Response) -> tuple[list[Url], Counter[str]]:
        """What the page refers to and is new, and what is not followed."""
        if response.status in REDIRECTS:
            found = parse_url(response.header("Location") or "", entry.url.text)
            new, ignored = self.frontier.offer(entry, [found] if found else [], redirect=True)
            return new, ignored + Counter(unusable=int(found is None))
        mime, charset = content_type(response)
        if response.status != 200 or mime not in HTML or refuses_following(response.header("X-Robots-Tag") or ""):
            return [], Counter()
        links = find_links(response.body, entry.url.text, charset)
        new, ignored = self.frontier.offer(entry, links.urls, redirect=False)
        return new, ignored + Counter(unusable=links.unusable)

    def _host(self, url: Url) -> Host:
        if url.site not in self.hosts:
            self.hosts[url.site] = Host(
                fetcher=self.fetcher,
                delay=self.config.delay,
                max_crawl_delay=self.config.max_crawl_delay,
                stop=self.stop,
            )
        return self.hosts[url.site]

    def _given_up(self, entry: Entry) -> Refusal | None:
        if self.failures[entry.url.site] < GIVE_UP_AFTER:
            return None
        return Refusal("host_unreachable", f"no answer to {GIVE_UP_AFTER} requests in a row")


def content_type(response: Response) -> tuple[str, str | None]:
    """Media type and charset of the Content-Type header, in lower case; HTML where there is no header but a tag."""
    mime, _, parameters = (response.header("Content-Type") or "").partition(";")
    if not mime.strip():
        return ("text/html" if b"<html" in response.body[:1024].lower() else "", None)
    values = (part.partition("=") for part in parameters.split(";"))
    charset = next((value.strip(" \"'") for key, _, value in values if key.strip().lower() == "charset"), None)
    return mime.strip().lower(), charset.lower() if charset else None


def _known(text: str) -> Url:
    url = parse_url(text)
    assert url is not None, f"an index holds {text!r}"
    return url
