"""The language prefilter drops only what is plainly in another language."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType

from pipeline.contract.errors import InputError
from pipeline.document import Document, Drop
from pipeline.stages import language_prefilter
from pipeline.stages.language_id import LanguageId
from pipeline.stages.language_prefilter import LanguagePrefilter
from pipeline.stages.main_text import MainText
from pipeline.stages.support import fasttext_models

MakeDoc = Callable[..., Document]
GERMAN = "Die Mühle am Fluss mahlt seit zweihundert Jahren das Korn von drei Dörfern, und sie tut es noch immer."
ENGLISH = "The mill at the river has ground the grain of three villages for two hundred years, and it still does."


def page(text: str) -> str:
    return f"<html lang='en'><script>var english = 'the and of to'</script><body><p>{text}</p></body></html>"


def test_a_page_in_another_language_is_dropped_by_name(make_doc: MakeDoc) -> None:
    dropped = LanguagePrefilter()(make_doc(html=page(GERMAN)))
    assert isinstance(dropped, Drop)
    assert (dropped.reason, dropped.limit, dropped.detail) == ("language_not_kept", 0.65, "de")


@pytest.mark.parametrize("text", [ENGLISH, "", "12 345", f"{ENGLISH} {GERMAN} {ENGLISH}"])
def test_the_language_asked_for_and_doubtful_pages_go_on_untouched(text: str, make_doc: MakeDoc) -> None:
    doc = make_doc(html=page(text))
    assert LanguagePrefilter()(doc) is doc


def test_a_page_is_dropped_above_the_limit_and_not_at_it(make_doc: MakeDoc) -> None:
    doc = make_doc(html=page(GERMAN))
    _, score = fasttext_models.identify(GERMAN, model="lid.176.ftz", max_chars=1000)
    assert LanguagePrefilter(min_score=score)(doc) is doc
    below = score - 1e-9
    assert LanguagePrefilter(min_score=below)(doc) == Drop("language_not_kept", value=score, limit=below, detail="de")


def test_any_language_and_texts_without_html_pass(make_doc: MakeDoc) -> None:
    for stage, doc in (
        (LanguagePrefilter(keep=None), make_doc(html=page(GERMAN))),
        (LanguagePrefilter(), make_doc(GERMAN)),
    ):
        assert stage(doc) is doc


def test_a_page_with_characters_that_cannot_be_encoded_is_read(make_doc: MakeDoc) -> None:
    dropped = LanguagePrefilter()(make_doc(html=page(f"\ud800 {GERMAN} \udfff\x00")))
    assert isinstance(dropped, Drop)


@pytest.mark.parametrize(
    ("html", "seen"),
    [
        ("<body><p>one</p><script>var two</script>three<!-- four -->five</body>", "one three five"),
        ("<body>one<STYLE>two</STYLE>three", "one three"),
        ("<body>one<script>two", "one two"),
        ("<body>one<!-- two <p>three", "one three"),
        ("<body>one<scripted>two</scripted><s>three", "one two three"),
        ("<body>one<script src='a<b'>two</scripts></script >three", "one three"),
        ("<body>one < 2 <<b>three</b> <3 <", "one < 2 < three <3"),
        ("<body>\tone\n\r two\x0c\x00three", "one two three"),
        ("<body>für <b>alle</b> 日本", "für alle 日本"),
        ("<title>one</title><body>two", "two"),
        ("no tags &amp; none &lt;here", "no tags &amp; none &lt;here"),
        ("", ""),
    ],
)
def test_what_nobody_sees_is_left_out(html: str, seen: str) -> None:
    assert language_prefilter._visible(html.encode()).strip() == seen


def test_the_sample_of_a_large_page_is_from_all_of_it_with_its_entities_as_characters() -> None:
    html = "<body>" + "".join(f"<p class='secret'>word{n}&nbsp;&amp; more</p>" for n in range(5000))
    seen = language_prefilter._sample(language_prefilter._visible(html.encode()), 600)
    assert len(seen) < 620
    assert "secret" not in seen
    assert "word0\xa0& more" in seen
    assert "word4999\xa0& more" in seen
    assert any(f"word{n}\xa0" in seen for n in range(1700, 3300))


@pytest.mark.parametrize(("size", "looks"), [(1000, 1), (1001, 2)])
def test_a_longer_look_is_taken_where_there_is_more_and_the_model_is_unsure(
    size: int, looks: int, make_doc: MakeDoc, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def unsure(text: str, **_: object) -> tuple[str, float]:
        seen.append(len(text))
        return "de", 0.5

    monkeypatch.setattr(fasttext_models, "identify", unsure)
    doc = make_doc(html="x" * size)
    assert LanguagePrefilter()(doc) is doc
    assert len(seen) == looks
    assert seen[-1] == size if looks == 2 else seen == [1000]


@pytest.mark.parametrize(
    "opening", ["<script>", "<!--", "<svg ", "<script></", "</script", "<", ">", "&", "<!-", "<a<"]
)
def test_a_page_of_openings_alone_takes_no_longer_than_another(opening: str) -> None:
    page = opening.encode() * 300_000
    assert len(language_prefilter._visible(page)) <= 8 * 300_000  # quadratic work would time out here


def test_impossible_settings_are_refused(make_doc: MakeDoc) -> None:
    with pytest.raises(ValueError, match=r"min_score: must be between 0 and 1, got -0\.1"):
        LanguagePrefilter(min_score=-0.1)
    with pytest.raises(InputError, match=r"language_prefilter\.keep"):
        LanguagePrefilter(keep=("english",))(make_doc(html=page(ENGLISH)))


def test_nearly_nothing_that_would_be_kept_is_lost_on_real_pages(shared_data: Path, make_doc: MakeDoc) -> None:
    """Every page that says it is English, and as many others; fast extraction is enough to tell the language."""
    hints = {row["url"]: row["lang_hint"] for row in map(json.loads, (shared_data / "web" / "pages.jsonl").open())}
    kept = lost = spared = other = 0
    for path in sorted((shared_data / "web").glob("*.warc.gz")):
        with path.open("rb") as stream:
            for at, record in enumerate(ArchiveIterator(stream, record_types=WarcRecordType.response)):
                if hints[record.headers["WARC-Target-URI"]] != "en" and at % 4:
                    continue
                doc = make_doc(html=record.reader.read().decode("utf-8", "replace"))
                passed = isinstance(LanguagePrefilter()(doc), Document)
                text = MainText(engine="resiliparse")(doc)
                final = isinstance(text, Document) and isinstance(LanguageId()(text), Document)
                kept, lost = kept + final, lost + (final and not passed)
                other, spared = other + (not final), spared + (not final and not passed)
    assert kept > 250
    assert lost <= 2
    assert spared > 0.8 * other
