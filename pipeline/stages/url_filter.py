"""Drop pages by their address, before anything of them is read."""

import functools
import urllib.parse
from dataclasses import dataclass
from typing import ClassVar

from pipeline.contract.fields import check_fields
from pipeline.document import Document, Drop
from pipeline.stages.support import name_sets
from pipeline.stages.support.name_sets import NameSet
from pipeline.text.urls import parent_domains, path_prefixes, split_url, url_words

_INVISIBLE = str.maketrans("", "", "\t\r\n\0")


@dataclass(frozen=True, kw_only=True, slots=True)
class UrlFilter:
    """Block lists and word lists over the URL, in the order of FineWeb's code.

    Source: Penedo et al. 2023, arXiv:2306.01116 (RefinedWeb), appendix G.1, as in datatrove's URLFilter. Reasons:
    `domain`, `url`, `banned_word`, `soft_banned_words`, `banned_subword`; `detail` is what matched.

    Three things differ from datatrove, each so that more of what a list means is found: a listed domain blocks all its
    subdomains; entries of the list of URLs, which carry no scheme, are compared without one (datatrove's never match)
    and block what lies below them; and letter case, percent-encoding and `www.` make no difference.
    """

    shipped_lists: bool = True
    """Use the lists that come with datatrove: UT1's adult domains and URLs (CC BY-SA), and its three word lists."""
    domains: tuple[str, ...] = ()
    """Files of further domains, one a line (IPv6 in brackets); each blocks its subdomains too."""
    urls: tuple[str, ...] = ()
    """Files of further URLs, one a line, with or without scheme; each blocks what lies below it."""
    banned_words: tuple[str, ...] = ()
    """Files of further words; one of them as a whole word of the URL blocks it."""
    soft_banned_words: tuple[str, ...] = ()
    """Files of further words that block a URL only together with others."""
    banned_subwords: tuple[str, ...] = ()
    """Files of further texts; one of them anywhere in the URL, punctuation aside, blocks it."""
    min_soft_words: int | None = 2
    """How many different soft-banned words block a URL; null turns them off."""

    # It looks at nothing else, so it may stand before `payload_digest`, and must not stand after it.
    ADDRESS_ONLY: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_fields(self)
        if self.min_soft_words is not None and self.min_soft_words < 1:
            raise ValueError(f"min_soft_words: must be at least 1, got {self.min_soft_words}")

    def prepare(self) -> None:
        """Load the lists; the first time on a machine this builds a compact file of them, which takes seconds."""
        self(Document(id="", url="https://example.com/"))

    def __call__(self, doc: Document) -> Document | Drop:
        url = doc.url if doc.url.isprintable() else doc.url.translate(_INVISIBLE)
        url = url.strip().lower()
        return self._listed(url) or self._worded(url) or doc

    def _listed(self, url: str) -> Drop | None:
        host, path = split_url(url)
        domains = _domains(self.shipped_lists, self.domains)
        for name in parent_domains(host):
            if _in_any(domains, name):
                return Drop("domain", detail=name)
        urls = _urls(self.shipped_lists, self.urls)
        for address in path_prefixes(host, path) if urls else ():
            if _in_any(urls, address):
                return Drop("url", detail=address)
        return None

    def _worded(self, url: str) -> Drop | None:
        parts = url_words(urllib.parse.unquote(url).lower() if "%" in url else url)
        found = set(parts)
        banned = found & _words("banned_words.txt", self.shipped_lists, self.banned_words)
        if banned:
            return Drop("banned_word", detail=min(banned))
        if self.min_soft_words is not None:
            soft = found & _words("soft_banned_words.txt", self.shipped_lists, self.soft_banned_words)
            if len(soft) >= self.min_soft_words:
                return Drop("soft_banned_words", len(soft), self.min_soft_words, " ".join(sorted(soft)))
        letters = "".join(parts)
        for subword in _subwords(self.shipped_lists, self.banned_subwords):
            if subword in letters:
                return Drop("banned_subword", detail=subword)
        return None


@functools.cache
def _domains(shipped: bool, files: tuple[str, ...]) -> tuple[NameSet, ...]:
    sets = [name_sets.shipped_list("domains", str.lower)] if shipped else []
    listed = [split_url(entry.lower())[0] for file in files for entry in name_sets.read_list(file)]
    return (*sets, name_sets.name_set(listed)) if listed else tuple(sets)


@functools.cache
def _urls(shipped: bool, files: tuple[str, ...]) -> tuple[NameSet, ...]:
    sets = [name_sets.shipped_list("urls", _address)] if shipped else []
    listed = [_address(entry) for file in files for entry in name_sets.read_list(file)]
    return (*sets, name_sets.name_set(listed)) if listed else tuple(sets)


def _address(entry: str) -> str:
    """An entry of a list of URLs as `path_prefixes` gives it; without a path it is a bare host and matches nothing."""
    host, path = split_url(entry.lower())
    return [host, *path_prefixes(host, path)][-1]


def _in_any(sets: tuple[NameSet, ...], name: str) -> bool:
    hashed = name_sets.hash_of(name)
    for names in sets:  # noqa: SIM110 - a generator would cost as much as the look-up
        if names.has_hash(hashed):
            return True
    return False


@functools.cache
def _words(name: str, shipped: bool, files: tuple[str, ...]) -> frozenset[str]:
    entries = [
        *(name_sets.shipped_words(name) if shipped else ()),
        *(e for file in files for e in name_sets.read_list(file)),
    ]
    return frozenset(word for word in ("".join(url_words(entry.lower())) for entry in entries) if word)


@functools.cache
def _subwords(shipped: bool, files: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(_words("banned_subwords.txt", shipped, files)))
