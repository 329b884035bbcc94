"""What the quality stages share: rules as data, and the verdict that follows from them."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pipeline import stages
from pipeline.document import Document, Drop, QualityStage


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
    return stage.judge(measured.signals[stages.name_of(type(stage))]) or measured


def first_broken(stage: Any, rules: Sequence[Rule], values: Mapping[str, float]) -> Drop | None:
    """The Drop of the first rule that the raw values break."""
    for rule in rules:
        limit, value = getattr(stage, rule.limit), values[rule.signal]
        if limit is not None and (value < limit if rule.kind == "at least" else value > limit):
            return Drop(rule.reason, value=value, limit=limit)
    return None


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
