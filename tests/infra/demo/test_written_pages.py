"""The written pages have in them what the stages of the pipeline are there for."""

import json
import re
import zlib
from pathlib import Path

import pytest
import written_pages
from web_page import ARCHIVE_HOST, BLOCKED_HOST, VILLAGE_HOST, Page

from pipeline.document import Drop

DEMO = Path(written_pages.__file__).parent


@pytest.fixture(scope="module")
def village() -> dict[str, Page]:
    return {page.path: page for page in written_pages.pages() if page.host == VILLAGE_HOST}


def text(page: Page) -> str:
    """The article of a page, its paragraphs as lines."""
    charset = re.search(rb'charset="([^"]+)"', page.body)
    whole = page.body.decode(charset[1].decode() if charset else "utf-8")
    article = whole.partition("<footer>")[0].rpartition("<article>")[2]
    return "\n".join(re.findall(r"<(?:p|li)>(.*?)</(?:p|li)>", article))


def shingles(page: Page) -> set[tuple[str, ...]]:
    words = text(page).lower().split()
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


def test_every_page_has_an_address_of_its_own():
    addresses = [(page.host, page.path) for page in written_pages.pages()]
    assert len(addresses) == len(set(addresses)) > 55
    assert {host for host, _ in addresses} == {VILLAGE_HOST, BLOCKED_HOST, ARCHIVE_HOST}


def test_six_other_languages_and_three_old_charsets(village):
    pages = {path: page for path, page in village.items() if re.match(r"/[a-z]{2}-", path)}
    languages = {re.search(rb'<html lang="(\w+)"', page.body)[1].decode() for page in pages.values()}
    assert {"de", "es", "fr", "it", "ja", "nl", "pl", "pt", "ru", "zh"} <= languages
    assert village["/de-gezeiten.html"].content_type == "text/html; charset=windows-1252"
    assert village["/fr-boulangerie.html"].content_type == village["/ja-ocha.html"].content_type == "text/html"
    assert "goût" in text(village["/fr-boulangerie.html"])
    assert "お茶" in text(village["/ja-ocha.html"])
    for path in ("/de-gezeiten.html", "/fr-boulangerie.html", "/ja-ocha.html"):
        with pytest.raises(UnicodeDecodeError):
            village[path].body.decode("utf-8")


def test_exact_and_near_duplicates(village):
    assert village["/mirror/tides.html"].body == village["/tides.html"].body
    printed, knots = village["/print/knots.html"], village["/knots.html"]
    assert printed.body != knots.body
    assert text(printed) == text(knots)
    for name in written_pages.REVISED:
        old, new = shingles(village[f"/last-year/{name}.html"]), shingles(village[f"/{name}.html"])
        assert 0.85 < len(old & new) / len(old | new) < 0.97


def test_answers_that_are_no_page(village):
    assert village["/old/tides.html"].headers == {"Location": "/tides.html"}
    assert village["/timetable.pdf"].body.startswith(b"%PDF-1.4\n")
    start = int(re.search(rb"startxref\n(\d+)", village["/timetable.pdf"].body)[1])
    assert village["/timetable.pdf"].body[start:].startswith(b"xref\n")
    png = village["/crest.png"].body
    assert zlib.decompress(png[png.index(b"IDAT") + 4 : png.index(b"IEND") - 8])[1:4] == b"\x20\x80\x40"
    assert village["/empty.html"].body == b""


def test_personal_data_of_every_type(village):
    from pipeline.stages.pii import Pii

    found: dict[str, int] = {}
    for path in ("/pii-workshop.html", "/pii-payments.html", "/pii-router.html"):
        for kind, count in Pii().scrub(text(village[path]))[1].items():
            found[kind] = found.get(kind, 0) + count
    assert found == {
        "CREDIT_CARD": 3,
        "EMAIL_ADDRESS": 4,
        "IBAN_CODE": 2,
        "IP_ADDRESS": 3,
        "PHONE_NUMBER": 3,
        "US_SSN": 2,
    }


def test_one_benchmark_question_stands_on_a_page(village, make_doc):
    from pipeline.stages.decontaminate import Decontaminate

    stage = Decontaminate(benchmarks=(str(DEMO / "benchmark.jsonl"),))
    hit = [path for path, page in village.items() if page.body and page.status == 200 and path.endswith(".html")]
    dropped = [path for path in hit if isinstance(stage(make_doc(text(village[path]))), Drop)]
    assert dropped == ["/quiz-evening.html"]


def test_the_benchmark_is_well_formed():
    items = [json.loads(line) for line in (DEMO / "benchmark.jsonl").read_text().splitlines()]
    assert len(items) == len({item["id"] for item in items}) == len({item["query"] for item in items}) == 42
    for item in items:
        assert set(item) == {"task", "id", "query", "choices", "label"}
        assert len(item["choices"]) == len(set(item["choices"])) == 4
        assert 0 <= item["label"] < 4


@pytest.mark.parametrize(
    ("path", "stage", "reason"),
    [
        ("/boilerplate-login.html", "gopher_quality", "too_few_words"),
        ("/boilerplate-cookies.html", "c4", "too_few_sentences"),
        ("/boilerplate-lorem.html", "c4", "lorem_ipsum"),
        ("/boilerplate-links.html", "fineweb", "too_few_punctuated_lines"),
        ("/boilerplate-teasers.html", "gopher_quality", "too_many_ellipsis_lines"),
        ("/code-braces.html", "c4", "curly_bracket"),
        ("/spam-keywords.html", "gopher_repetition", "top_2_gram"),
        ("/spam-hashtags.html", "gopher_quality", "too_many_hashes"),
        ("/spam-symbols.html", "gopher_quality", "too_few_alphabetic_words"),
    ],
)
def test_what_is_not_worth_reading_is_dropped_for_the_reason_it_was_made_for(village, make_doc, path, stage, reason):
    from pipeline import stages
    from pipeline.stages.main_text import MainText

    page = MainText()(make_doc(html=village[path].body.decode()))
    assert not isinstance(page, Drop)
    verdict = stages.load(stage)()(page)
    assert isinstance(verdict, Drop)
    assert verdict.reason == reason


def test_articles_pass_every_default_limit(village, make_doc):
    from pipeline import stages
    from pipeline.stages.main_text import MainText

    names = ("gopher_repetition", "gopher_quality", "c4", "fineweb")
    for name in ("tides", "sourdough", "lighthouse", "bees", "rivers", "knots", "compost", "locks", "paper", "windows"):
        doc = MainText()(make_doc(html=village[f"/{name}.html"].body.decode()))
        for stage in names:
            assert not isinstance(doc, Drop), (name, doc)
            doc = stages.load(stage)()(doc)
        assert not isinstance(doc, Drop), (name, doc)
