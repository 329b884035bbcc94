"""The shipped multilingual config keeps real prose of each of its languages, and tells it from prose of another."""

import dataclasses
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from warc_pages import Page, write_warc

from pipeline.config import load_config
from pipeline.document import Document, Drop
from pipeline.flow import build
from pipeline.stages.gopher_quality import GopherQuality
from pipeline.stages.language_id import LanguageId
from pipeline.stages.language_prefilter import LanguagePrefilter
from pipeline.tools.verify import verify

PATH = Path(__file__).resolve().parents[2] / "configs/pipeline/fineweb2-multilingual.yaml"
CONFIG = load_config(PATH)
QUALITY = next(stage for stage in CONFIG.filter if isinstance(stage, GopherQuality))
LANGUAGES = ["en", *QUALITY.stop_words_by_language]


@pytest.fixture(scope="module")
def prose(shared_data) -> dict[str, str]:
    """Some sentences of each language, one a line."""
    found: dict[str, list[str]] = {}
    for line in (shared_data / "text/langid.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        found.setdefault(row["lang"], []).append(row["text"])
    return {language: "\n".join(dict.fromkeys(found[language][:25])) for language in LANGUAGES}


def judged(text: str, language: str) -> Document | Drop:
    """What the rules of the config make of a text."""
    doc: Document | Drop = Document(id="a", url="https://a.example/", text=text, language=language)
    for stage in CONFIG.filter:
        doc = stage(doc)
        if isinstance(doc, Drop):
            break
    return doc


@pytest.mark.parametrize("language", LANGUAGES)
def test_prose_is_kept(prose, language):
    kept = judged(prose[language], language)
    assert isinstance(kept, Document), kept


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_stop_words_of_its_own_language_are_found_those_of_another_are_not(prose, language):
    def stop_words(as_language: str) -> float:
        doc = Document(id="a", url="", text=prose[language], language=as_language)
        return QUALITY.measure(doc).signals["gopher_quality"]["stop_words"]

    assert stop_words(language) >= 5
    assert stop_words("pl" if language == "th" else "th") == 0


@pytest.mark.parametrize("language", ["de", "zh", "ja", "th"])
def test_a_list_is_dropped(language):
    assert isinstance(judged("\n".join(f"Anna-{n} 17:{n}" for n in range(60)), language), Drop)


def test_the_three_lists_of_languages_agree():
    prefilter, identify = (
        next(s for s in CONFIG.extract if isinstance(s, kind)) for kind in (LanguagePrefilter, LanguageId)
    )
    assert prefilter.keep == identify.keep
    assert sorted(identify.keep) == sorted(LANGUAGES)


WORD_LENGTHS = {"de": (4, 8), "zh": (1, 3), "ja": (1, 3), "th": (2, 6)}
"""Mean word length in characters: of scripts without spaces, far less than a sentence."""


def test_a_crawl_in_many_languages(prose, tmp_path):
    """A page of prose for each language is kept; a list in it, and prose of a language not asked for, go."""
    pages = [paged(language, prose[language]) for language in LANGUAGES]
    pages += [paged(f"{language}-list", listed(prose[language])) for language in WORD_LENGTHS]
    pages.append(paged("mojibake", prose["fr"].encode().decode("cp1252", "replace")))
    pages.append(dataclasses.replace(paged("zh-again", prose["zh"]), date="2024-01-02T00:00:00Z"))
    write_warc(tmp_path / "crawl.warc.gz", pages)
    overrides = ["tokenize.train_tokenizer={vocabulary_size: 500}", "extract.url_filter.shipped_lists=false"]
    config = load_config(PATH, overrides=overrides, inputs=[str(tmp_path / "crawl.warc.gz")],
                         output=str(tmp_path / "out"), local=True)  # fmt: skip
    build(config, quiet=True)
    rows = {row["url"].rpartition("/")[2]: row for row in pq.read_table(tmp_path / "out/documents").to_pylist()}
    gone = {row["url"].rpartition("/")[2]: row for row in pq.read_table(tmp_path / "out/dropped").to_pylist()}
    assert {name: row["language"] for name, row in rows.items()} == {language: language for language in LANGUAGES}
    assert rows["zh"]["cluster_size"] == 2
    assert gone["zh-again"]["reason"] == "copy"
    assert gone["mojibake"]["step"] == "dedup"  # once repaired, it is the French page again
    for language, (low, high) in WORD_LENGTHS.items():
        measured = rows[language]["signals"]["gopher_quality"]
        assert measured["words"] > 50
        assert low < measured["mean_word_length"] < high
        assert measured["stop_words"] >= 5
        assert gone[f"{language}-list"]["step"] == "filter"
    assert [check.problems for check in verify(tmp_path / "out") if not check.ok] == []


def paged(name: str, text: str) -> Page:
    body = "".join(f"<p>{line}</p>" for line in text.split("\n"))
    return Page(url=f"https://pages.example/{name}", html=f"<html><body><article>{body}</article></body></html>")


def listed(text: str) -> str:
    """The first words of each sentence without what ends it, a line each, and again."""
    return "\n".join([line[: len(line) // 2] for line in text.split("\n")] * 3)
