"""Lines that stand in many documents of a site: menus, notices, teasers that extraction left in."""

import dataclasses
import functools
import hashlib
from collections.abc import Collection
from typing import Any, Literal

import numpy as np

from pipeline.dedup.shingles import U64
from pipeline.text.urls import split_url

Keep = Literal["first", "none"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LineDedup:
    """Lines that stand in many documents are taken out of them."""

    scope: Literal["domain", "global"] = "domain"
    """Compare documents of the same registrable domain (example.co.uk), or all documents."""
    min_documents: int = 5
    """Documents (of the domain) a line must stand in to be repeated."""
    min_characters: int = 10
    """Shorter lines stay, white space at their ends aside."""
    keep: Keep = "first"
    """A repeated line stays in the earliest document (by date, then by a hash of the id), as in C4 and datatrove; or it
    stays nowhere, as in CCNet."""
    min_document_words: int | None = 50
    """Documents that lost a line and have fewer words left are dropped (as in datatrove); null keeps them."""

    def __post_init__(self) -> None:
        if self.min_documents < 2:
            raise ValueError(f"min_documents: must be at least 2, got {self.min_documents}")
        if self.min_characters < 1:
            raise ValueError(f"min_characters: must be at least 1, got {self.min_characters}")
        if self.min_document_words is not None and self.min_document_words < 0:
            raise ValueError(f"min_document_words: must be at least 0, got {self.min_document_words}")


def distinct_lines(text: str, config: LineDedup) -> list[str]:
    """The lines that are compared, in order, each once, without the white space at their ends."""
    lines = dict.fromkeys(map(str.strip, text.split("\n")))
    return [line for line in lines if len(line) >= config.min_characters]


def line_keys(lines: Collection[str], scope: str) -> U64:
    """128-bit keys of lines, shape (lines, 2); lines of other scopes have other keys."""
    salt = scope.encode("utf-8", "surrogatepass") + b"\n"
    raw = b"".join(
        hashlib.blake2b(salt + line.encode("utf-8", "surrogatepass"), digest_size=16).digest() for line in lines
    )
    return np.frombuffer(raw, "<u8").reshape(-1, 2)


def scope_of(url: str, config: LineDedup) -> str:
    """What the lines of a page are compared within."""
    return "" if config.scope == "global" else registrable_domain(split_url(url.strip().lower())[0])


@functools.lru_cache(maxsize=1 << 16)
def registrable_domain(host: str) -> str:
    """The name someone registered, by the public suffix list: www.shop.example.co.uk -> example.co.uk.

    Of a name without a known suffix the last two labels, as the list's algorithm has it; an address is its own domain.
    """
    found = _extractor().extract_str(host)
    if found.suffix or ":" in host or found.ipv4:
        return str(found.top_domain_under_public_suffix) or host
    return ".".join(host.split(".")[-2:])


def without_lines(text: str, lines: Collection[str]) -> tuple[str, int]:
    """(the text without `lines`, how many lines that took out).

    A blank line that stood between two removed ones, or would double another, goes with them.
    """
    kept: list[str] = []
    removed, open_end = 0, False
    for line in text.split("\n"):
        bare = line.strip()
        if bare in lines:
            removed, open_end = removed + 1, True
        elif bare or not open_end or (kept and kept[-1].strip()):
            kept.append(line)
            open_end = open_end and not bare
    if open_end:
        while kept and not kept[-1].strip():
            kept.pop()
    return "\n".join(kept), removed


@functools.cache
def _extractor() -> Any:
    import tldextract

    return tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)  # never fetches the list: the package's own
