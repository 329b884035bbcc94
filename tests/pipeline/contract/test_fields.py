"""A config class made in Python is held to its annotations as strictly as a file."""

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any, Literal

import pytest

from pipeline.contract.fields import check_fields


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    weight: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    size: int = 3
    share: float = 0.5
    on: bool = True
    name: str = "a"
    engine: Literal["fast", "exact"] = "fast"
    names: tuple[str, ...] = ()
    limits: Mapping[str, float] = dataclasses.field(default_factory=dict)
    most: int | None = None
    section: Section | None = None
    class_: Literal["none"] | tuple[str, ...] = "none"
    anything: Any = None

    def __post_init__(self) -> None:
        check_fields(self)


@pytest.mark.parametrize(
    "fields",
    [
        {"size": 50.0},  # a file's 50.0 reads as 50, too
        {"size": 10**400},
        {"share": 1},
        {"share": sys.float_info.max},
        {"names": ("a", "b")},
        {"limits": {"de": 1, "en": 0.5}},
        {"most": 3},
        {"section": Section()},
        {"class_": ("a",)},
        {"anything": object()},
    ],
)
def test_values_that_fit_are_taken_as_they_are(fields):
    made = Example(**fields)
    assert {name: getattr(made, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": 50.5}, "size: must be a whole number, got 50.5 (float)"),
        ({"size": True}, "size: must be a whole number, got True (bool)"),
        ({"share": float("inf")}, "share: must be a finite number, got inf (float)"),
        ({"share": float("nan")}, "share: must be a finite number, got nan (float)"),
        ({"share": False}, "share: must be a finite number, got False (bool)"),
        ({"on": 1}, "on: must be True or False, got 1 (int)"),
        ({"name": None}, "name: must be a str, got None (NoneType)"),
        ({"names": ["a"]}, "names: must be a tuple, each item a str, got ['a'] (list)"),
        ({"names": "abc"}, "names: must be a tuple, each item a str, got 'abc' (str)"),
        ({"limits": []}, "limits: must be a mapping, each value a finite number, got [] (list)"),
        ({"most": "3"}, "most: must be a whole number or None, got '3' (str)"),
        ({"section": {"weight": 1.0}}, "section: must be an instance of Section or None, got {'weight': 1.0} (dict)"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_what_was_expected(fields, message):
    with pytest.raises(ValueError) as caught:
        Example(**fields)
    assert str(caught.value) == message


def test_an_int_beyond_every_float_is_no_finite_number():
    with pytest.raises(ValueError, match="share: must be a finite number, got 1000"):
        Example(share=10**400)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"names": ("a", 3)}, "names[1]: must be a str, got 3 (int)"),
        ({"limits": {"de": "x"}}, "limits.de: must be a finite number, got 'x' (str)"),
        ({"limits": {3: 1.0}}, "limits key: must be a str, got 3 (int)"),
        ({"class_": ("a", None)}, "class[1]: must be a str, got None (NoneType)"),
    ],
)
def test_the_part_that_does_not_fit_is_named(fields, message):
    with pytest.raises(ValueError) as caught:
        Example(**fields)
    assert str(caught.value) == message


def test_a_misspelt_word_brings_the_nearest_and_a_strange_one_none():
    with pytest.raises(ValueError) as caught:
        Example(engine="fsat")
    assert str(caught.value) == "engine: must be one of fast, exact, got 'fsat' (str); did you mean 'fast'?"
    with pytest.raises(ValueError) as caught:
        Example(engine="slow motion")
    assert str(caught.value) == "engine: must be one of fast, exact, got 'slow motion' (str)"
