"""What a stage may do with a document, and who is named where it does something else."""

import dataclasses
import sys

import pytest
from broken import Changes, Gives, Measures, Raises

from pipeline.contract.errors import StageError
from pipeline.steps.parts import Chain
from pipeline.steps.stage_checks import CHECKED_PAGES

ANSWER = "a stage gives a Document, whose text is a str, or a Drop"
COPY = "doc.replace(text=...), doc.with_signals(name, {...})"


def said(doc, stage, pages: int = 1) -> str:
    """The error of a chain with this stage alone, of one page or the last of several."""
    chain = Chain("filter", (stage,))
    for _ in range(pages - 1):
        assert chain.run(doc).kind == "kept"
    with pytest.raises(StageError) as caught:
        chain.run(doc)
    message = str(caught.value)
    assert message.startswith(f"filter: stage broken.{type(stage).__name__} ")
    assert f"\n  on {doc.url}\n  " in message
    return message


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("None", "gave None; " + ANSWER),
        ("str", "gave the str 'some words'; " + ANSWER),
        ("list", "gave a list; " + ANSWER),
        ("no text", "gave a Document whose text is NoneType; " + ANSWER),
        ("subclass", "gave a Wrapped, which is no Document but a class made from it; " + ANSWER),
        ("language", "gave a Document whose language is None (NoneType); it must be a str"),
        ("score", "gave a Document whose language_score is 'high' (str); it must be a number"),
        ("signals", "gave a Document whose signals is [('a', 1.0)] (list); it must be a mapping"),
        ("lost signals", "stores signals under 'elsewhere', for which the tables have no column"),
        ("another id", "gave a Document whose id is 'test-docx' instead of 'test-doc'; it must stay what it is"),
        ("another offset", "gave a Document whose warc_offset is 1180591620717411303424 instead of 0; it must stay"),
        ("huge size", "gave a Document whose cluster_size is 1099511627776 (int); it must be a whole number"),
        ("no number", "gave a Drop whose value is nan (float); it must be a number or None"),
        ("huge value", "(int); it must be a number or None"),
        ("reason of words", "gave a Drop whose reason is 'too short'; it must be in snake_case"),
        ("no reason", "gave a Drop whose reason is 3 (int); it must be a str, in snake_case"),
        ("value", "gave a Drop whose value is '12' (str); it must be a number or None"),
    ],
)
def test_what_a_stage_gave_is_named(make_doc, what, found):
    assert found in said(make_doc("some words"), Gives(what))


@pytest.mark.parametrize(
    ("how", "found"),
    [
        ("assigns", "it assigns to doc.text, and documents are frozen"),
        ("adds", "it assigns to doc.note, and documents are frozen"),
        ("deletes", "it assigns to doc.text, and documents are frozen"),
        ("forces", "doc.text is another than before"),
        ("signals", "doc.signals is another than before"),
        ("inner signals", "doc.signals is another than before"),
        ("pii", "doc.pii_counts is another than before"),
    ],
)
def test_a_document_changed_in_place_is_named_with_the_way_to_change_it(make_doc, how, found):
    doc = make_doc(" some words", signals={"measured": {"length": 2.0}}, pii_counts={})
    message = said(doc, Changes(how))
    assert f"changes a document in place: {found}" in message
    assert COPY in message


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("None", "measured None; " + ANSWER),
        ("nothing", "measured None as its signals; a number for each of its SIGNALS belongs there"),
        ("one", "measured {'length': 10.0} as its signals"),
        ("text", "'lines': 'many'} as its signals"),
        ("verdict", "judged the bool False; a verdict is a Drop or None"),
    ],
)
def test_a_quality_stage_is_held_to_its_signals_and_its_verdict(make_doc, what, found):
    message = said(make_doc("some words"), Measures(what))
    assert found in message
    if "signals" in found:
        assert "doc.with_signals('broken.Measures', {'length': ..., 'lines': ...})" in message


def test_stages_that_keep_their_promises_are_left_alone(make_doc):
    for stage in (Raises(), Measures("nothing wrong"), Changes("not at all")):
        chain = Chain("filter", (stage,))
        outcomes = [chain.run(make_doc("some words", signals={"measured": {"length": 2.0}})) for _ in range(30)]
        assert {outcome.kind for outcome in outcomes} == {"kept"}


@dataclasses.dataclass(frozen=True)
class Late:
    """Returns None for one text, and has changed a document by then."""

    def __call__(self, doc):
        if doc.text == "late":
            return None
        if doc.text == "changed late":
            object.__setattr__(doc, "language", "xx")
        return doc


def test_answers_are_looked_at_on_every_page_changes_on_the_first(make_doc):
    chain = Chain("filter", (Late(),))
    for _ in range(CHECKED_PAGES):
        chain.run(make_doc("some words"))
    assert chain.run(make_doc("changed late")).kind == "kept"
    with pytest.raises(StageError, match="gave None"):
        chain.run(make_doc("late"))


@dataclasses.dataclass(frozen=True)
class Ends:
    """Ends the process."""

    def __call__(self, doc):
        sys.exit(3)


@dataclasses.dataclass(frozen=True)
class ChangesItself:
    """Remembers something, which is no change of the document."""

    last: str = ""

    def __call__(self, doc):
        self.last = doc.url
        return doc


@pytest.mark.parametrize(
    ("stage", "cause"),
    [(Ends(), "error: SystemExit: 3"), (ChangesItself(), "error: FrozenInstanceError: cannot assign to field 'last'")],
)
def test_a_stage_that_raises_costs_the_page_alone(make_doc, stage, cause):
    outcome = Chain("filter", (stage,)).run(make_doc("some words"))
    assert outcome.kind == "quarantined"
    assert cause in outcome.row["cause"]
