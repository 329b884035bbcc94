"""Main text extraction: the engines, each reason on both sides, and real pages."""

import json
import re
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType

from pipeline.document import Document, Drop
from pipeline.stages.main_text import MainText, Trust
from pipeline.stages.support import fast_extraction

MakeDoc = Callable[..., Document]
PROSE = "The mill at the river has ground the grain of three villages for two hundred years, and it still does."
ENGINES = ["trafilatura", "resiliparse", "adaptive", "blocks"]


def page(body: str) -> str:
    return f"<html><head><title>Mill</title></head><body>{body}</body></html>"


def article(*paragraphs: str) -> str:
    return page(f"<article>{''.join(f'<p>{paragraph}</p>' for paragraph in paragraphs)}</article>")


@pytest.mark.parametrize("engine", ENGINES)
def test_the_text_replaces_the_html(engine: str, make_doc: MakeDoc) -> None:
    kept = MainText(engine=engine)(make_doc(html=article(PROSE, f"{PROSE} Yes.")))  # type: ignore[arg-type]
    assert isinstance(kept, Document)
    assert kept.html == ""
    assert [line for line in kept.text.split("\n") if line] == [PROSE, f"{PROSE} Yes."]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("html", [page(""), page("<script>var x = 1</script>"), "<!-- nothing -->"])
def test_a_page_without_text_is_dropped(engine: str, html: str, make_doc: MakeDoc) -> None:
    assert MainText(engine=engine)(make_doc(html=html)) == Drop("no_text", value=0, limit=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("html", ["", " ", "\n\t \n"])
def test_an_empty_page_is_dropped(html: str, make_doc: MakeDoc) -> None:
    assert MainText()(make_doc(html=html)) == Drop("empty_page", value=0, limit=1)


def test_a_document_that_comes_as_text_passes_untouched(make_doc: MakeDoc) -> None:
    doc = make_doc("Already extracted.")
    assert MainText()(doc) is doc


def test_a_page_at_the_size_limit_passes_and_one_character_more_does_not(make_doc: MakeDoc) -> None:
    html = article(PROSE, PROSE)
    assert isinstance(MainText(max_chars=len(html))(make_doc(html=html)), Document)
    assert MainText(max_chars=len(html) - 1)(make_doc(html=html)) == Drop(
        "too_large", value=len(html), limit=len(html) - 1
    )
    assert isinstance(MainText(max_chars=None)(make_doc(html=html)), Document)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_chars": 0}, "max_chars: must be at least 1, got 0"),
        ({"max_repeats": -1}, "max_repeats: must be at least 1, got -1"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MainText(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_size": -1}, "min_size: must be at least 0, got -1"),
        ({"max_repeated_lines": -2}, "max_repeated_lines: must be at least 0, got -2"),
        ({"min_share_of_main": 1.5}, "min_share_of_main: must be between 0 and 1, got 1.5"),
    ],
)
def test_impossible_trust_is_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Trust(**settings)  # type: ignore[arg-type]


def test_long_lines_may_repeat_as_often_as_the_limit_says(make_doc: MakeDoc) -> None:
    assert len(PROSE) >= 100
    doc = make_doc(
        html=article("Refrain", PROSE, "Refrain", PROSE, "Refrain", PROSE, "End of it all, finally and for good.")
    )

    def count(line: str, **settings: int) -> int:
        kept = MainText(engine="resiliparse", **settings)(doc)  # type: ignore[arg-type]
        assert isinstance(kept, Document)
        return kept.text.split("\n").count(line)

    assert count(PROSE) == 3
    assert count(PROSE, max_repeats=2) == 2
    assert count(PROSE, max_repeats=1) == 1
    assert count("Refrain", max_repeats=1) == 3


def test_comments_stay_only_when_asked_for(make_doc: MakeDoc) -> None:
    comment = "I have baked with flour of this mill since I was a child, and never had better bread than that."
    html = page(f"<article><p>{PROSE}</p><p>{PROSE} Yes.</p></article><div id='comments'><p>{comment}</p></div>")
    for engine in ("trafilatura", "resiliparse"):
        without, with_them = (
            MainText(engine=engine, comments=comments)(make_doc(html=html)) for comments in (False, True)
        )  # type: ignore[arg-type]
        assert isinstance(without, Document) and isinstance(with_them, Document)
        assert comment not in without.text
        assert comment in with_them.text


def test_tables_can_be_left_out(make_doc: MakeDoc) -> None:
    html = page(
        f"<article><p>{PROSE}</p><p>{PROSE} Yes.</p><table><tr><td>rye</td><td>{PROSE} 12</td></tr></table></article>"
    )
    kept, left_out = (MainText(tables=tables)(make_doc(html=html)) for tables in (True, False))
    assert isinstance(kept, Document) and isinstance(left_out, Document)
    assert "rye" in kept.text
    assert "rye" not in left_out.text


@pytest.mark.parametrize("engine", ENGINES)
def test_the_text_can_be_written_whatever_the_page_holds(engine: str, make_doc: MakeDoc) -> None:
    html = article(f"{PROSE} \ud83d\ude00 \ud800 end\x00", f"{PROSE} \udfff") + "</div>" * 50 + "<b <i"
    kept = MainText(engine=engine)(make_doc(html=html))  # type: ignore[arg-type]
    assert isinstance(kept, Document)
    assert kept.text.encode()
    assert "😀 \ufffd end" in kept.text


def fast(
    *sizes: int, main: int | None = None, crude: int | None = None, repeat: bool = False
) -> fast_extraction.FastText:
    found = tuple(fast_extraction.Line("x" if repeat else f"line {at}", size, 0.0) for at, size in enumerate(sizes))
    return fast_extraction.FastText(found, main or sum(sizes), lambda: crude or sum(sizes))


@pytest.mark.parametrize(
    ("trusted", "doubted"),
    [
        (fast(250, 250), fast(250, 249)),
        (fast(500, 60, 59), fast(500, 59, 59)),
        (fast(*[500] * 6, *[59] * 5), fast(*[500] * 7, *[59] * 6)),
        (fast(300, 300), fast(300, 300, repeat=True)),
        (fast(700, main=1000), fast(699, main=1000)),
        (fast(700, crude=7000), fast(700, crude=7001)),
    ],
    ids=["size", "median_line", "short_run", "repeated_lines", "share_of_main", "share_of_page"],
)
def test_trust_on_both_sides_of_each_limit(
    trusted: fast_extraction.FastText, doubted: fast_extraction.FastText
) -> None:
    assert Trust().accepts(trusted)
    assert not Trust().accepts(doubted)


def test_repeated_lines_and_short_runs_can_be_allowed() -> None:
    assert Trust(max_short_run=None).accepts(fast(*[500] * 99, *[9] * 90))
    assert Trust(max_repeated_lines=None).accepts(fast(300, 300, repeat=True))
    assert Trust(max_repeated_lines=1).accepts(fast(300, 300, repeat=True))


def test_adaptive_falls_back_to_trafilatura(make_doc: MakeDoc) -> None:
    """Three paragraphs are trusted as the fast engine gives them; a page that repeats itself is extracted again."""
    once = make_doc(html=article(*(f"{PROSE} {number} times {PROSE}" for number in range(3))))
    twice = make_doc(html=article(*(f"{PROSE} {number} times {PROSE}" for number in (0, 1, 1, 2))))
    for doc, fast_enough in ((once, True), (twice, False)):
        read = fast_extraction.read(doc.html)
        assert Trust().accepts(read) is fast_enough
        expected = read.text if fast_enough else MainText()(doc).text  # type: ignore[union-attr]
        assert MainText(engine="adaptive")(doc).text == expected  # type: ignore[union-attr]


def fold(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def test_gold_phrases_of_real_pages(shared_data: Path, make_doc: MakeDoc) -> None:
    """A part of the labelled pages; the figures of all of them are what tests/benchmarks/extraction.py prints."""
    gold = {item["url"]: item for item in map(json.loads, (shared_data / "web" / "gold.jsonl").open(encoding="utf-8"))}
    chosen = set(sorted(gold)[::12])
    pages = {}
    for path in sorted((shared_data / "web").glob("*.warc.gz")):
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
                if (url := record.headers["WARC-Target-URI"]) in chosen:
                    pages[url] = record.reader.read().decode("utf-8", "replace")
    assert len(pages) == 70

    def f1(engine: str) -> float:
        wanted = found = unwanted = 0
        for url, html in pages.items():
            kept = MainText(engine=engine)(make_doc(html=html))  # type: ignore[arg-type]
            text = fold(kept.text) if isinstance(kept, Document) else ""
            wanted += len(gold[url]["must_have"])
            found += sum(fold(phrase) in text for phrase in gold[url]["must_have"])
            unwanted += sum(fold(phrase) in text for phrase in gold[url]["must_not_have"])
        return statistics.harmonic_mean([found / wanted, found / (found + unwanted)])

    scores = {engine: f1(engine) for engine in ENGINES}
    assert scores["trafilatura"] > 0.90
    assert scores["resiliparse"] > 0.83
    assert scores["adaptive"] > scores["trafilatura"] - 0.03
