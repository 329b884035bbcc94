"""Text repair: each rule on and off, and what must stay as it is."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.document import Document, Drop
from pipeline.stages.text_repair import TextRepair

MakeDoc = Callable[..., Document]
OFF = {"mojibake": False, "line_breaks": False, "control_characters": False, "normalization": None}


def repaired(text: str, **settings: object) -> str:
    outcome = TextRepair(**settings)(Document(id="1", url="", text=text))  # type: ignore[arg-type]
    assert isinstance(outcome, Document)
    return outcome.text


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        ("mojibake", "schÃ¶n â€œgutâ€\x9d itâ€™s", "schön “gut” it’s"),
        ("mojibake", "Ð¿Ñ€Ð¸Ð²ÐµÑ‚", "привет"),
        ("line_breaks", "a\r\nb\rc\vd\fe\x85f\u2028g\u2029h\n\ni", "a\nb\nc\nd\ne\nf\ng\nh\n\ni"),
        ("control_characters", "\ufeffa\x00b\x07c\x7fd\te\u00adf\u206ag\ufff9h\uffff\x1b[31mi", "abcd\tefghi"),
    ],
)
def test_each_rule_does_its_work_only_when_it_is_on(rule: str, text: str, expected: str) -> None:
    assert repaired(text, **{**OFF, rule: True}) == expected
    assert repaired(text, **OFF) == text


@pytest.mark.parametrize(("form", "expected"), [("NFC", "é ﬁ Ａ ²"), ("NFKC", "é fi A 2"), (None, "e\u0301 ﬁ Ａ ²")])
def test_normalization_forms(form: str | None, expected: str) -> None:
    assert repaired("e\u0301 ﬁ Ａ ²", normalization=form) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Plain text, nothing to do.\n\nSecond paragraph.\tTab.",
        "“Curly” ‘quotes’ – dashes… ﬁne ligatures, ｆｕｌｌｗｉｄｔｈ。",
        "AT&amp;T &lt;b&gt; is how you write it",
        "می\u200cخواهم क्\u200dष 👨\u200d👩\u200d👧 ไทย\u200bไทย \u202bعربي\u202c",
        "â is a letter, ñ another: pão, tempête, AÑO, L’été",
        "İstanbul, ß, ǅ, Ω, ＋",
    ],
)
def test_what_a_reader_sees_stays(text: str, make_doc: MakeDoc) -> None:
    doc = make_doc(text)
    assert TextRepair()(doc) is doc


def test_lone_surrogates_become_replacement_characters_and_pairs_the_character() -> None:
    assert repaired("a\ud800b \ud83d\ude00", **OFF) == "a\ufffdb 😀"


def test_nothing_left_is_dropped_and_one_letter_is_not(make_doc: MakeDoc) -> None:
    assert TextRepair()(make_doc("\x00\ufeff \x1b[0m")) == Drop("no_text", value=0, limit=1)
    assert TextRepair()(make_doc("\x00a")) == make_doc("a")


def test_a_new_text_forgets_old_features(make_doc: MakeDoc) -> None:
    doc = make_doc("schÃ¶n")
    assert doc.features is doc.features
    changed = TextRepair()(doc)
    assert isinstance(changed, Document)
    assert changed.features is not doc.features


@given(text=st.text(max_size=80))
def test_repairing_twice_changes_nothing_and_the_result_can_be_written(text: str) -> None:
    outcome = TextRepair(mojibake=False)(Document(id="1", url="", text=text))
    if isinstance(outcome, Document):
        assert TextRepair(mojibake=False)(outcome) is outcome
        assert outcome.text.encode()


def test_texts_in_many_languages_pass_unchanged(shared_data: Path) -> None:
    """Paragraphs of the Declaration of Human Rights in 98 languages are clean: nothing may be repaired in them."""
    rows = [json.loads(line) for line in (shared_data / "text" / "langid.jsonl").open(encoding="utf-8")]
    texts = [row["text"] for row in rows if "genesis" not in row["source"]][::5]
    assert len(texts) > 800
    assert [text for text in texts if repaired(text, **{**OFF, "mojibake": True}) != text] == []
