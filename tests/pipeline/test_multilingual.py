"""The shipped multilingual config keeps real prose of each of its languages, and tells it from prose of another."""

import json
from pathlib import Path

import pytest

from pipeline.config import load_config
from pipeline.document import Document, Drop
from pipeline.stages.gopher_quality import GopherQuality
from pipeline.stages.language_glance import LanguageGlance
from pipeline.stages.language_id import LanguageId

CONFIG = load_config(Path(__file__).resolve().parents[2] / "configs/pipeline/fineweb2-multilingual.yaml")
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
    glance, identify = (next(s for s in CONFIG.extract if isinstance(s, kind)) for kind in (LanguageGlance, LanguageId))
    assert glance.keep == identify.keep
    assert sorted(identify.keep) == sorted(LANGUAGES)
