"""What a stage promises, and the error that names the stage which does otherwise.

A stage answers with a Document or a Drop and leaves the document that it was given as it is. What it answers is looked
at on every page. Of stages that are not ours, the first pages of every part are looked at more closely: whether the
document was changed in place, and whether its fields are still of their types.
"""

import datetime
import reprlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from pipeline.contract.errors import StageError
from pipeline.document import Document, Drop, QualityStage, Stage, name_of
from pipeline.steps.failures import stage_error

CHECKED_PAGES = 20
"""Of each part, for a stage that is not ours: a few microseconds each."""
_NUMBER = (int, float, np.number)
_NONE = type(None)
_Kinds = dict[str, tuple[tuple[type, ...], str]]
_DOCUMENT: _Kinds = {
    **dict.fromkeys(("id", "url", "dump", "warc_path", "html", "text", "language"), ((str,), "a str")),
    **dict.fromkeys(("copy_of", "cluster_id"), ((str, _NONE), "a str or None")),
    **dict.fromkeys(("warc_offset", "warc_length", "cluster_size"), ((int, np.integer), "a whole number")),
    "date": ((datetime.datetime, _NONE), "a datetime or None"),
    "language_score": (_NUMBER, "a number"),
    "signals": ((Mapping,), "a mapping"),
    "pii_counts": ((Mapping,), "a mapping"),
    "overlaps": ((tuple,), "a tuple"),
}
_DROP: _Kinds = {
    "reason": ((str,), "a str, in snake_case"),
    "value": ((*_NUMBER, _NONE), "a number or None"),
    "limit": ((*_NUMBER, _NONE), "a number or None"),
    "detail": ((str, _NONE), "a str or None"),
}
_LARGEST = {"cluster_size": (1 << 31) - 1}
"""The largest whole number that a column holds; of the other columns, 2^63 - 1."""
_PLACE = ("id", "url", "warc_path", "warc_offset", "warc_length")
_COPY = "give back a changed copy: doc.replace(text=...), doc.with_signals(name, {...})"
_ANSWER = "a stage gives a Document, whose text is a str, or a Drop"


class CheckedStage:
    """A stage of a step whose answers are checked; `name` is what reports call it there."""

    def __init__(self, step: str, name: str, stage: Stage) -> None:
        self.name = name
        self._step, self._stage = step, stage
        # isinstance against a protocol is slow, so it is asked once.
        self.quality = stage if isinstance(stage, QualityStage) else None
        self._signals = name_of(type(stage))
        self._foreign = "." in self._signals
        self._to_check = CHECKED_PAGES if self._foreign else 0

    def run(self, doc: Document, *, measure_only: bool = False) -> tuple[Document, Drop | None] | Drop:
        """The document after the stage, with what a quality stage says of it; or a Drop, and nothing to go on with.

        Args:
            doc: what it is given.
            measure_only: the document is dropped already; no verdict is asked for.

        Raises:
            StageError: the stage breaks a promise.
            whatever the stage raised.
        """
        before = _Snapshot(doc) if self._to_check else None
        try:
            answer = self._answer(doc, measure_only=measure_only)
        except Exception as error:
            self._refuse_assignment(error, doc)
            raise
        if self._foreign and not isinstance(answer, Drop) and answer[0] is not doc:
            self._refuse_moved(answer[0], doc)
        if before:
            self._to_check -= 1
            self._refuse_changes(before, doc)
            if not isinstance(answer, Drop):
                self._refuse_types(answer[0], _DOCUMENT, doc)
                self._refuse_lost_signals(answer[0], doc)
        return answer

    def _answer(self, doc: Document, *, measure_only: bool) -> tuple[Document, Drop | None] | Drop:
        if not self.quality:
            answer: object = self._stage(doc)
            if isinstance(answer, Drop):
                return self._checked_drop(answer, doc)
            return self._checked(answer, "gave", doc), None
        measured = self._checked(self.quality.measure(doc), "measured", doc)
        values = measured.signals.get(self._signals)
        if values is None or (self._to_check and not _complete(values, self.quality.SIGNALS)):
            problem = f"measured {reprlib.repr(values)} as its signals; a number for each of its SIGNALS belongs there"
            signals = ", ".join(f"{signal!r}: ..." for signal in self.quality.SIGNALS)
            raise self._broken(problem, doc, f"end measure with doc.with_signals({self._signals!r}, {{{signals}}})")
        drop: object = None if measure_only else self.quality.judge(values, measured.language)
        if drop is None or isinstance(drop, Drop):
            return measured, drop and self._checked_drop(drop, doc)
        raise self._broken(f"judged {_described(drop)}; a verdict is a Drop or None", doc)

    def _checked(self, answer: object, verb: str, doc: Document) -> Document:
        if type(answer) is Document and isinstance(answer.text, str):
            return answer
        raise self._broken(f"{verb} {_described(answer)}; {_ANSWER}", doc, _COPY)

    def _checked_drop(self, drop: Drop, doc: Document) -> Drop:
        if self._foreign:
            self._refuse_types(drop, _DROP, doc)
            if not drop.reason.isidentifier():
                raise self._broken(f"gave a Drop whose reason is {drop.reason!r}; it must be in snake_case", doc)
        return drop

    def _refuse_assignment(self, error: Exception, doc: Document) -> None:
        """Raise StageError where the stage set or deleted an attribute of a document: documents are frozen."""
        trace = error.__traceback__
        while trace and trace.tb_next:
            trace = trace.tb_next
        if trace is None or trace.tb_frame.f_code.co_name not in ("__setattr__", "__delattr__"):
            return
        given = trace.tb_frame.f_locals
        if isinstance(given.get("self"), Document):
            problem = f"changes a document in place: it assigns to doc.{given.get('name')}, and documents are frozen"
            raise self._broken(problem, doc, _COPY) from error

    def _refuse_moved(self, answer: Document, doc: Document) -> None:
        """Where a page came from is how it is found again: `trace`, `verify` and `remove` go by it."""
        for field in _PLACE:
            if getattr(answer, field) != getattr(doc, field):
                found = f"{reprlib.repr(getattr(answer, field))} instead of {reprlib.repr(getattr(doc, field))}"
                raise self._broken(f"gave a Document whose {field} is {found}; it must stay what it is", doc)

    def _refuse_changes(self, before: "_Snapshot", doc: Document) -> None:
        changed = before.changed(doc)
        if changed:
            raise self._broken(f"changes a document in place: doc.{changed} is another than before", doc, _COPY)

    def _refuse_lost_signals(self, answer: Document, doc: Document) -> None:
        new = answer.signals.keys() - doc.signals.keys() - ({self._signals} if self.quality else set())
        if new:
            problem = f"stores signals under {', '.join(map(repr, sorted(new)))}, for which the tables have no column"
            hint = f"a stage with SIGNALS, measure and judge keeps them under {self._signals!r}; see docs/stages.md"
            raise self._broken(problem, doc, hint)

    def _refuse_types(self, answer: Document | Drop, fields: _Kinds, doc: Document) -> None:
        for field, (kinds, expected) in fields.items():
            value = getattr(answer, field)
            too_large = isinstance(value, int) and abs(value) > _LARGEST.get(field, (1 << 63) - 1)
            if not isinstance(value, kinds) or too_large or value != value:  # NaN is no number
                found = f"{field} is {reprlib.repr(value)} ({type(value).__name__})"
                raise self._broken(f"gave a {type(answer).__name__} whose {found}; it must be {expected}", doc)

    def _broken(self, problem: str, doc: Document, hint: str = "fix the stage") -> StageError:
        return stage_error(f"{self._step}: stage {self.name} {problem}", f"on {doc.url}", hint)


class _Snapshot:
    """A document as it was before a stage."""

    def __init__(self, doc: Document) -> None:
        self._values = {name: getattr(doc, name) for name in _DOCUMENT}
        self._signals = {stage: dict(values) for stage, values in doc.signals.items()}
        self._pii_counts = dict(doc.pii_counts)

    def changed(self, doc: Document) -> str | None:
        """The name of a field that is another now."""
        if doc.signals != self._signals:
            return "signals"
        if doc.pii_counts != self._pii_counts:
            return "pii_counts"
        return next((name for name, value in self._values.items() if getattr(doc, name) is not value), None)


def _complete(values: Mapping[str, object], signals: Collection[str]) -> bool:
    """Whether there is a number for each signal."""
    return set(values) == set(signals) and all(isinstance(value, _NUMBER) for value in values.values())


def _described(answer: Any) -> str:
    if answer is None:
        return "None"
    if type(answer) is Document:
        return f"a Document whose text is {type(answer.text).__name__}"
    if isinstance(answer, Document):
        return f"a {type(answer).__name__}, which is no Document but a class made from it"
    if isinstance(answer, str | int | float):
        return f"the {type(answer).__name__} {reprlib.repr(answer)}"
    return f"a {type(answer).__name__}"
