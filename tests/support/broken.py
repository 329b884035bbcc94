"""Stages for tests that break what a stage promises, each in its own way."""

import dataclasses
from typing import Any, ClassVar

from pipeline.document import Document, Drop


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Raises:
    """Fails on pages that say so."""

    def __call__(self, doc: Document) -> Document:
        if "fail here" in doc.text:
            raise ZeroDivisionError(f"a page said no\n{doc.text}")
        return doc


@dataclasses.dataclass(frozen=True)
class NoCall:
    """Has no __call__."""

    limit: int = 3


@dataclasses.dataclass(frozen=True)
class Gives:
    """Gives back something that is neither."""

    what: str = "None"

    def __call__(self, doc: Document) -> Any:
        return {
            "None": None,
            "str": doc.text,
            "list": [doc],
            "no text": doc.replace(text=None),
            "subclass": Wrapped(id=doc.id, url=doc.url, text=doc.text),
            "language": doc.replace(language=None),
            "score": doc.replace(language_score="high"),
            "signals": doc.replace(signals=[("a", 1.0)]),
            "lost signals": doc.with_signals("elsewhere", {"a": 1.0}),
            "another id": doc.replace(id=doc.id + "x"),
            "another offset": doc.replace(warc_offset=1 << 70),
            "huge size": doc.replace(cluster_size=1 << 40),
            "no number": Drop("short", value=float("nan")),
            "huge value": Drop("short", value=10**400),
            "reason of words": Drop("too short"),
            "no reason": Drop(3),  # type: ignore[arg-type]
            "value": Drop("short", value="12"),  # type: ignore[arg-type]
        }[self.what]


class Wrapped(Document):
    """A document of one's own kind."""


@dataclasses.dataclass(frozen=True)
class Changes:
    """Changes the document that it was given."""

    how: str = "assigns"

    def __call__(self, doc: Document) -> Document:
        if self.how == "assigns":
            doc.text = doc.text.strip()  # type: ignore[misc]
        if self.how == "adds":
            doc.note = "seen"  # type: ignore[attr-defined]
        if self.how == "deletes":
            del doc.text
        if self.how == "forces":
            object.__setattr__(doc, "text", doc.text.upper())
        if self.how == "signals":
            doc.signals["broken"] = {"length": 1.0}  # type: ignore[index]
        if self.how == "inner signals":
            doc.signals["measured"]["length"] = 1.0  # type: ignore[index]
        if self.how == "pii":
            doc.pii_counts["EMAIL"] = 1  # type: ignore[index]
        return doc


@dataclasses.dataclass(frozen=True)
class Measures:
    """A quality stage that measures or judges wrongly."""

    what: str = "nothing"
    SIGNALS: ClassVar[tuple[str, ...]] = ("length", "lines")

    def measure(self, doc: Document) -> Any:
        values: dict[str, Any] = {"length": float(len(doc.text)), "lines": 1.0}
        if self.what == "one":
            del values["lines"]
        if self.what == "text":
            values["lines"] = "many"
        return {"None": None, "nothing": doc}.get(self.what, doc.with_signals("broken.Measures", values))

    def judge(self, values: Any, language: str = "") -> Any:
        return False if self.what == "verdict" else None

    def __call__(self, doc: Document) -> Any:
        return self.measure(doc)


class Speechless(Exception):
    """An exception that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@dataclasses.dataclass(frozen=True)
class Ends:
    """Raises on a page, or before the first, what is no Exception."""

    how: str = "KeyboardInterrupt"
    before: bool = False

    def prepare(self) -> None:
        if self.before:
            self._end()

    def __call__(self, doc: Document) -> Document:
        if "fail here" in doc.text:
            self._end()
        return doc

    def _end(self) -> None:
        raise {"KeyboardInterrupt": KeyboardInterrupt, "GeneratorExit": GeneratorExit, "SystemExit": SystemExit,
               "Speechless": Speechless, "ValueError": ValueError}[self.how]()  # fmt: skip
