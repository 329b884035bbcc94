"""Which URLs come next: waves, breadth-first, in an order that depends on nothing but the pages."""

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.crawler.url import Url

MAX_REDIRECTS = 10
"""Redirects from one to the next, at most."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A URL to fetch and how it was found."""

    url: Url
    depth: int = 0
    """Links from a seed; a redirect is no link."""
    redirects: int = 0
    """Redirects since the last link."""
    via: str | None = None
    """The page that led here first."""


class Frontier:
    """Every URL enters once. `take` hands out what was offered since the last wave."""

    def __init__(self, seeds: Iterable[Url], *, same_host: bool, max_depth: int | None) -> None:
        self._waiting = [Entry(url) for url in seeds]
        self._seen = {entry.url.text for entry in self._waiting}
        self._sites = frozenset(entry.url.site for entry in self._waiting) if same_host else None
        self._max_depth = max_depth

    def take(self) -> list[Entry]:
        """The next wave: sorted by URL, one page of each host in turn. Empty at the end."""
        wave = sorted(self._waiting, key=lambda entry: (entry.url.site, entry.url.text))
        self._waiting = []
        hosts = [list(entries) for _, entries in itertools.groupby(wave, key=lambda entry: entry.url.site)]
        rounds = itertools.zip_longest(*hosts)
        return [entry for entries in rounds for entry in entries if entry is not None]

    def offer(self, parent: Entry, urls: Iterable[Url], *, redirect: bool) -> tuple[list[Url], Counter[str]]:
        """Add what a page refers to.

        Returns:
            The URLs that are new, sorted, and how many references were ignored, by cause.
        """
        depth, redirects = (parent.depth, parent.redirects + 1) if redirect else (parent.depth + 1, 0)
        new, ignored = [], Counter[str]()
        for url in urls:
            if self._sites is not None and url.site not in self._sites:
                ignored["other_host"] += 1
            elif self._max_depth is not None and depth > self._max_depth:
                ignored["too_deep"] += 1
            elif redirects > MAX_REDIRECTS:
                ignored["too_many_redirects"] += 1
            elif url.text not in self._seen:
                self._seen.add(url.text)
                self._waiting.append(Entry(url, depth, redirects, parent.url.text))
                new.append(url)
        return sorted(new, key=lambda url: url.text), ignored
