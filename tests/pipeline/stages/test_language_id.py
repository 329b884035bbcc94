"""Language identification: reasons on both sides of the limits, real texts, and models that are not there."""

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.contract.errors import InputError, MissingAssetError
from pipeline.document import Document, Drop
from pipeline.stages.language_id import LanguageId
from pipeline.stages.support import fasttext_models

MakeDoc = Callable[..., Document]
ENGLISH = "The mill at the river has ground the grain of three villages for two hundred years.\nIt still does."
GERMAN = "Die Mühle am Fluss mahlt seit zweihundert Jahren das Korn von drei Dörfern.\nSie tut es noch immer."
JAPANESE = "川のほとりの水車小屋は、二百年ものあいだ三つの村の穀物を挽いてきました。"


def test_language_and_score_are_stored(make_doc: MakeDoc) -> None:
    kept = LanguageId()(make_doc(ENGLISH))
    assert isinstance(kept, Document)
    assert kept.language == "en"
    assert 0.65 <= kept.language_score <= 1
    assert kept.text == ENGLISH


@pytest.mark.parametrize(("text", "language"), [(GERMAN, "de"), (JAPANESE, "ja")])
def test_a_language_not_kept_is_dropped_by_name(text: str, language: str, make_doc: MakeDoc) -> None:
    dropped = LanguageId()(make_doc(text))
    assert isinstance(dropped, Drop)
    assert (dropped.reason, dropped.detail) == ("language_not_kept", language)
    for keep in ((language, "en"), None):
        kept = LanguageId(keep=keep)(make_doc(text))
        assert isinstance(kept, Document)
        assert kept.language == language


def test_a_score_at_the_limit_is_kept_and_one_below_it_is_not(make_doc: MakeDoc) -> None:
    _, score = fasttext_models.identify(ENGLISH, model="lid.176.ftz", max_chars=3000)
    assert 0 < score < 1
    assert isinstance(LanguageId(min_score=score)(make_doc(ENGLISH)), Document)
    above = score + 1e-9
    assert LanguageId(min_score=above)(make_doc(ENGLISH)) == Drop("low_score", value=score, limit=above, detail="en")


def test_single_languages_may_have_limits_of_their_own(make_doc: MakeDoc) -> None:
    _, score = fasttext_models.identify(GERMAN, model="lid.176.ftz", max_chars=3000)
    stage = LanguageId(keep=("en", "de"), min_score=0.1, min_scores={"de": score + 1e-9})
    assert isinstance(stage(make_doc(ENGLISH)), Document)
    assert stage(make_doc(GERMAN)) == Drop("low_score", value=score, limit=score + 1e-9, detail="de")


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_no_text_has_no_language(text: str, make_doc: MakeDoc) -> None:
    assert LanguageId()(make_doc(text)) == Drop("low_score", value=0.0, limit=0.65, detail="")


@pytest.mark.parametrize(
    "text", ["\x00", "\ud800", "1 2 3", "\u2028" * 50, "🙂" * 2000, "a" * 100_000, "\r\n" * 5000 + "x"]
)
def test_any_text_gets_an_answer(text: str, make_doc: MakeDoc) -> None:
    outcome = LanguageId(keep=None)(make_doc(text))
    assert isinstance(outcome, (Document, Drop))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keep": ()}, "keep: names no language; null keeps any"),
        ({"min_score": 1.1}, "min_score: must be between 0 and 1, got 1.1"),
        ({"max_chars": 0}, "max_chars: must be at least 1, got 0"),
        ({"min_scores": {"en": -1}}, "min_scores: must be between 0 and 1, got -1 for 'en'"),
        ({"min_scores": {"de": 0.5}}, "min_scores: 'de' is not among the languages to keep"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LanguageId(**settings)  # type: ignore[arg-type]


def test_a_language_the_model_does_not_know_is_the_users_mistake(make_doc: MakeDoc) -> None:
    with pytest.raises(InputError) as caught:
        LanguageId(keep=("en", "nb"))(make_doc(ENGLISH))
    assert caught.value.place == "language_id.keep"
    assert "no language 'nb'" in caught.value.problem
    assert len(caught.value.known) == 176


def test_models_that_cannot_be_loaded(make_doc: MakeDoc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="neither an asset nor a file"):
        LanguageId(model="lid.177.ftz")(make_doc(ENGLISH))
    (tmp_path / "bad.bin").write_bytes(b"no model")
    with pytest.raises(InputError, match="not a fastText model"):
        LanguageId(model=str(tmp_path / "bad.bin"))(make_doc(ENGLISH))
    monkeypatch.setenv("TOKENMILL_ASSETS", str(tmp_path))
    with pytest.raises(MissingAssetError, match=r"tokenmill assets fetch lid\.176\.bin"):
        LanguageId(model="lid.176.bin")(make_doc(ENGLISH))


def test_loading_the_model_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    fasttext_models._load.cache_clear()
    fasttext_models.identify(ENGLISH, model="lid.176.ftz", max_chars=None)
    assert capfd.readouterr() == ("", "")


def test_a_sample_takes_pieces_from_the_whole_text() -> None:
    text = "".join(f"{number:04d}" for number in range(1000))
    assert fasttext_models.sample(text, 48) == "00000001 99020002 03990400 80599060 79807990 09980999"
    assert fasttext_models.sample("short\n text ", 48) == "short text"
    assert fasttext_models.sample("a" * 48, 48) == "a" * 48


def test_accuracy_on_real_paragraphs(shared_data: Path) -> None:
    """Every third paragraph of languages the model knows; `tests/benchmarks/languages.py` prints all of them."""
    right: dict[str, list[bool]] = defaultdict(list)
    for line in (shared_data / "text" / "langid.jsonl").read_text("utf-8").splitlines()[::3]:
        row = json.loads(line)
        language, _ = fasttext_models.identify(row["text"], model="lid.176.ftz", max_chars=3000)
        right[row["lang"]].append(language == row["lang"])
    accuracy = {language: sum(found) / len(found) for language, found in right.items()}
    for language in ("en", "de", "fr", "es", "ru", "ja", "ar", "hi", "ko", "pl"):
        assert accuracy[language] >= 0.9, language
    known = [found for language, found in right.items() if language in fasttext_models._languages("lid.176.ftz")]
    assert sum(map(sum, known)) / sum(map(len, known)) > 0.91
