"""Limits of quality stages, ours and the user's own: rules as data, and the verdict that follows from them."""

import dataclasses
import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pipeline.document import Document, Drop, QualityStage, name_of

Languages = Mapping[str, Mapping[str, float | None]]
"""Limits that differ for single languages: language -> limit -> value; null turns the rule off for that language."""
_NONE: Mapping[str, float | None] = {}


class Rule(NamedTuple):
    """A raw value against one of the stage's fields."""

    signal: str
    kind: Literal["at least", "at most"]
    limit: str
    """The field that holds the limit; None there turns the rule off."""
    reason: str


def decide(stage: QualityStage, doc: Document) -> Document | Drop:
    """Measure a document and judge it."""
    measured = stage.measure(doc)
    return stage.judge(measured.signals[name_of(type(stage))], doc.language) or measured


def first_broken(stage: Any, rules: Sequence[Rule], values: Mapping[str, float], language: str = "") -> Drop | None:
    """The Drop of the first rule that the raw values break, under the limits of the language."""
    language_limits = stage.languages.get(language) or _NONE
    for rule in rules:
        limit = language_limits[rule.limit] if rule.limit in language_limits else getattr(stage, rule.limit)
        value = values[rule.signal]
        if limit is not None and (value < limit if rule.kind == "at least" else value > limit):
            return Drop(rule.reason, value=value, limit=limit)
    return None


def limit_of(stage: Any, limit: str, language: str = "") -> float | None:
    """A limit as it holds for a language; None: off."""
    language_limits: Mapping[str, float | None] = stage.languages.get(language) or _NONE
    value: float | None = language_limits[limit] if limit in language_limits else getattr(stage, limit)
    return value


def check_languages(stage: Any) -> None:
    """Check the limits of single languages as if each language had a stage of its own.

    Raises:
        ValueError: a key that is no limit, or a value that the stage itself would refuse.
    """
    known = sorted({rule.limit for rule in stage.RULES})
    for language, limits in stage.languages.items():
        for name in limits:
            if name not in known:
                meant = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean '{meant[0]}'?" if meant else f"known: {', '.join(known)}"
                raise ValueError(f"languages.{language}: unknown limit '{name}'; {hint}")
        try:
            dataclasses.replace(stage, languages={}, **limits)
        except ValueError as error:
            raise ValueError(f"languages.{language}.{error}") from error


def defaults_for_others(stage: Any, names: Sequence[str], language: str) -> tuple[str, ...]:
    """Those of the fields whose default, made for the stage's `MADE_FOR`, holds for another language.

    None do once the config names the language in `languages`: somebody has looked at it.
    """
    if language in stage.MADE_FOR or language in stage.languages:
        return ()
    defaults = {field.name: field.default for field in dataclasses.fields(stage)}
    values = {name: getattr(stage, name) for name in names}
    return tuple(name for name, value in values.items() if value is not None and value == defaults[name])


def refuse_negative(stage: Any) -> None:
    """Raise ValueError for a limit below 0 or not a number."""
    for field in dataclasses.fields(stage):
        value = getattr(stage, field.name)
        if isinstance(value, (int, float)) and not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{field.name}: must be a number of at least 0, got {value}")


def refuse_crossed(stage: Any, low: str, high: str) -> None:
    """Raise ValueError where a minimum is above its maximum."""
    least, most = getattr(stage, low), getattr(stage, high)
    if least is not None and most is not None and least > most:
        raise ValueError(f"{low}: must be at most {high} ({most}), got {least}")


def share(part: float, whole: float) -> float:
    """`part / whole`, and 0 where there is no whole: nothing is too much of nothing."""
    return part / whole if whole else 0.0
