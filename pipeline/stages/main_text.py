"""Take the main text out of the HTML."""

import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.contract.fields import check_fields
from pipeline.document import Document, Drop
from pipeline.extractor.shipped import SHIPPED

if TYPE_CHECKING:
    from pipeline.stages.support.fast_extraction import FastText

REPEAT_CHARS = 100
"""A shorter line may repeat as often as it likes; trafilatura's own limit (MIN_DUPLCHECK_SIZE)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trust:
    """When the fast text of the `adaptive` engine is good enough. Sizes count Latin characters, wide scripts three.

    Round numbers, chosen on 829 labelled pages as a whole, never on single ones: 38 % of the pages go on to
    trafilatura, and the F1 of wanted and unwanted phrases is 0.923 (fast text alone 0.893, trafilatura alone 0.926;
    the difference has a standard error of 0.004). `tests/benchmarks/extraction.py` measures it again. Stop words were
    tried and left out: they need the language, and brought 0.001.
    """

    min_size: int = 500
    """Text shorter than this is suspect."""
    min_median_line: float = 60
    """At least half of the lines are prose, which headlines and captions are too short for."""
    max_short_run: int | None = 5
    """More short lines (under 60) in a row are a list of links, shares or teasers inside the text."""
    max_repeated_lines: int | None = 0
    """Lines that occur twice betray lists of teasers, or a page that carries its text twice."""
    min_share_of_main: float = 0.7
    """Kept share of what looked like main content; less means that much of it was links."""
    min_share_of_page: float = 0.1
    """Kept share of all visible text; less means that the text may have been missed."""

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("min_size", "min_median_line", "max_short_run", "max_repeated_lines"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name}: must be at least 0, got {value}")
        for name in ("min_share_of_main", "min_share_of_page"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: must be between 0 and 1, got {getattr(self, name)}")

    def accepts(self, fast: "FastText") -> bool:
        """Whether the fast text may stand."""
        kept = fast.kept_size
        return (
            kept >= max(self.min_size, self.min_share_of_main * fast.main_size)
            and fast.median_line >= self.min_median_line
            and (self.max_short_run is None or fast.longest_short_run <= self.max_short_run)
            and (self.max_repeated_lines is None or fast.repeated_lines <= self.max_repeated_lines)
            and (not self.min_share_of_page or kept >= self.min_share_of_page * fast.crude_size())
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class MainText:
    """Main text extraction; a document that comes with a text and no HTML (WET, parquet) passes as it is.

    FineWeb: trafilatura favouring precision (Penedo et al. 2024, arXiv:2406.17557). DCLM: Resiliparse (Li et al. 2024,
    arXiv:2406.11794). Drops: `too_large`, `empty_page` (nothing but white space), `no_text` (the extractor found none).
    """

    engine: Literal["trafilatura", "resiliparse", "adaptive", "blocks"] = "trafilatura"
    """`trafilatura` is the most precise on news; `resiliparse` costs a tenth and keeps more boilerplate; `adaptive`
    starts fast and calls trafilatura only for the pages whose fast text cannot be trusted; `blocks` is a learned
    classifier of a page's blocks of text (docs/extraction.md): cheaper than all, and ahead on pages that are no
    articles."""
    model: str = SHIPPED
    """Of the engine `blocks`: the one that is shipped, or a file written by `tokenmill extractor train`."""
    favor: Literal["precision", "balanced", "recall"] = "precision"
    """What trafilatura favours when in doubt."""
    comments: bool = False
    """Keep readers' comments."""
    tables: bool = True
    """Keep tables (trafilatura only)."""
    max_chars: int | None = 10_000_000
    """Pages with more characters of HTML are dropped unread; null for no limit."""
    max_repeats: int | None = None
    """How often one line of at least 100 characters may stand in a page; null keeps all. FineWeb's setting, 2, counts
    over all the pages a process has seen, which makes a text depend on its neighbours; this counts in one page."""
    trust: Trust = dataclasses.field(default_factory=Trust)
    """When `adaptive` keeps its fast text."""

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("max_chars", "max_repeats"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: must be at least 1, got {value}")

    def prepare(self) -> None:
        """Import the extractors, which takes a second; a model that is not there is said before the run starts."""
        self(Document(id="", url="", html="<p>prepared</p>"))

    def __call__(self, doc: Document) -> Document | Drop:
        if not doc.html:
            return doc if doc.text else Drop("empty_page", value=0, limit=1)
        if self.max_chars is not None and len(doc.html) > self.max_chars:
            return Drop("too_large", value=len(doc.html), limit=self.max_chars)
        if doc.html.isspace():
            return Drop("empty_page", value=0, limit=1)
        text = self.text_of(doc.html, doc.encoded[1] if doc.encoded[0] is doc.html else None)
        if self.max_repeats is not None:
            text = _without_repeats(text, self.max_repeats)
        if not text.strip():
            return Drop("no_text", value=0, limit=1)
        return doc.replace(text=_encodable(text), html="")

    def text_of(self, page: str, page_bytes: bytes | None = None) -> str:
        """The main text of an HTML page; empty where there is none.

        Args:
            page: decoded.
            page_bytes: the same in UTF-8, where it is at hand.
        """
        if self.engine == "blocks":
            from pipeline.extractor import extraction, model

            source = _encodable(page).encode() if page_bytes is None else page_bytes
            return extraction.extract(source, model.load(self.model)).text
        page = _encodable(page)
        if self.engine == "resiliparse":
            return _resiliparse(page, comments=self.comments)
        # Each engine's module compiles expressions of its own: it is loaded where it is used.
        if self.engine == "adaptive":
            from pipeline.stages.support import fast_extraction

            fast = fast_extraction.read(page)
            if self.trust.accepts(fast):
                return fast.text
        from pipeline.stages.support import fast_trafilatura

        return fast_trafilatura.extract(page, focus=self.favor, comments=self.comments, tables=self.tables) or ""


def _resiliparse(page: str, *, comments: bool) -> str:
    """Resiliparse's main content, with the options DCLM used."""
    from resiliparse.extract.html2text import extract_plain_text

    text: str = extract_plain_text(page, main_content=True, alt_texts=False, comments=comments)
    return text


def _encodable(text: str) -> str:
    """`text` with lone surrogates, which no file can hold, replaced by U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _without_repeats(text: str, most: int) -> str:
    """`text` without the lines of at least REPEAT_CHARS characters that have already stood `most` times."""
    seen: Counter[str] = Counter()
    kept = []
    for line in text.split("\n"):
        seen[line] += len(line) >= REPEAT_CHARS
        if seen[line] <= most:
            kept.append(line)
    return "\n".join(kept)
