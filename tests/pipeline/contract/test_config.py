"""The config loader is strict, and its errors name place, value and hint."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Literal

import pytest

from pipeline.contract.config import build, differences, field_docs, fingerprint, resolved
from pipeline.contract.errors import ConfigError
from pipeline.contract.schema import json_schema
from pipeline.contract.yaml_text import read_yaml


class Shape:
    """A variant."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Circle:
    """Round."""

    radius: float = 1.0
    """Metres."""

    def __post_init__(self) -> None:
        if self.radius < 0:
            raise ValueError(f"radius: must be at least 0, got {self.radius}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Inner:
    size: int = 3
    names: tuple[str, ...] = ()
    weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    mode: Literal["fast", "slow"] = "fast"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Outer:
    path: str
    """Where it is."""
    rate: float = 0.5
    on: bool = True
    limit: int | None = 10
    inner: Inner = Inner()
    shapes: tuple[Shape, ...] = ()


class Shapes:
    """A registry with one name."""

    def names(self):
        return ["circle"]

    def load(self, name):
        return {"circle": Circle}[name]

    def name_of(self, cls):
        return {Circle: "circle"}[cls]


VARIANTS = {Shape: Shapes()}


def load(tree):
    return build(Outer, tree, "c.yaml", VARIANTS)


def test_values_nested_values_and_defaults():
    config = load({"path": "x", "inner": {"names": ["a"], "weights": {"w": 2}}, "shapes": [{"circle": {"radius": 2}}]})
    assert config == Outer(path="x", inner=Inner(names=("a",), weights={"w": 2.0}), shapes=(Circle(radius=2.0),))


@pytest.mark.parametrize("shape", ["circle", {"circle": {}}, {"circle": {"radius": 1}}])
def test_a_variant_is_a_name_or_a_one_key_mapping(shape):
    assert load({"path": "x", "shapes": [shape]}).shapes == (Circle(),)


def test_a_variant_set_to_null_is_off():
    assert load({"path": "x", "shapes": [{"circle": None}, "circle"]}).shapes == (Circle(),)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"path": "x", "rat": 1}, "c.yaml: unknown field 'rat'\n  known: inner, limit, on, path, rate, shapes\n"
                                  "  did you mean 'rate'?"),
        ({"path": "x", "inner": {"size": "big"}}, 'c.yaml: inner.size: expected a whole number, found "big" (text)'),
        ({"path": "x", "on": "yes"}, 'c.yaml: on: expected true or false, found "yes" (text)'),
        ({"path": False}, "c.yaml: path: expected text, found false (true/false)\n"
                          "  quote it: YAML reads a bare no, yes, on or off as true/false"),
        ({"path": "x", "inner": {"names": "a"}},
         'c.yaml: inner.names: expected a list, found "a" (text)\n  write it as [a]'),
        ({"path": "x", "inner": {"mode": "fsat"}},
         "c.yaml: inner.mode: expected one of fast, slow, found \"fsat\" (text)\n  did you mean 'fast'?"),
        ({"path": "x", "inner": 3}, "c.yaml: inner: expected a mapping of settings, found 3 (a whole number)"),
        ({}, "c.yaml: path: is required and not given\n  Where it is."),
        ({"path": "x", "shapes": ["circel"]}, "c.yaml: shapes[0]: unknown name 'circel'\n  known: circle\n"
                                              "  did you mean 'circle'?"),
        ({"path": "x", "shapes": [{"circle": {"radius": -1}}]},
         "c.yaml: shapes[0].circle: radius: must be at least 0, got -1.0"),
        ({"path": "x", "rate": float("nan")}, "c.yaml: rate: expected a finite number, found NaN (a number)"),
        ([], "c.yaml: expected a mapping of settings, found [] (a list)"),
    ],
)  # fmt: skip
def test_every_mistake_is_named(tree, message):
    with pytest.raises(ConfigError) as caught:
        load(tree)
    assert str(caught.value) == message


def test_a_value_that_holds_itself_is_refused_like_any_other():
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(ConfigError, match="mode: expected one of fast, slow, found something that holds itself"):
        load({"path": "x", "inner": {"mode": endless}})


def test_a_float_may_be_written_as_yaml_reads_it_as_text(tmp_path):
    (tmp_path / "c.yaml").write_text("path: x\nrate: 3e-4\nlimit: 100_000\n")
    config = load(read_yaml(tmp_path / "c.yaml"))
    assert (config.rate, config.limit) == (3e-4, 100_000)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\na: 2\n", "key 'a' is given twice (line 2)"),
        ("a: [1\n", "not valid YAML"),
        ("a:\nb: 2\n", "key 'a' has no value (line 1): write {} for the defaults, null to turn it off"),
        ("- 1\n", "expected a mapping of keys at the top, found a list"),
        ("!!python/object:os.system {}\n", "could not determine a constructor"),
        ("", "expected a mapping of keys at the top, found nothing (null)"),
        ("a: " + "[" * 5000, "not valid YAML"),
    ],
)
def test_what_is_no_config_is_refused(tmp_path, text, problem):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=re.escape(problem)):
        read_yaml(tmp_path / "c.yaml")


def test_a_config_that_is_missing_or_not_text(tmp_path):
    with pytest.raises(ConfigError, match="cannot read the config: No such file"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"path: caf\xe9\n")
    with pytest.raises(ConfigError, match="cannot read the config"):
        read_yaml(tmp_path / "latin.yaml")


def test_resolved_writes_every_default_out_and_loads_again():
    config = load({"path": "x", "shapes": ["circle"]})
    tree = resolved(config, VARIANTS)
    assert tree == {
        "path": "x", "rate": 0.5, "on": True, "limit": 10, "shapes": [{"circle": {"radius": 1.0}}],
        "inner": {"size": 3, "names": [], "weights": {}, "mode": "fast"},
    }  # fmt: skip
    assert load(tree) == config


def test_resolved_writes_whole_floats_as_floats():
    @dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
    class Limits:
        share: float = 1
        most: float | None = 2
        words: int = 3

    assert [type(value) for value in resolved(Limits()).values()] == [float, float, int]


def test_merge_keys_of_yaml_are_read(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n")
    assert read_yaml(path) == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}
    path.write_text("a: &a {x: 1}\nb: {<<: *a, y: 3, y: 4}\n")
    with pytest.raises(ConfigError, match="key 'y' is given twice"):
        read_yaml(path)


def test_fingerprint_depends_on_content_not_on_order():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_differences_name_the_path():
    old, new = {"a": {"b": 1, "c": [1, 2]}, "d": 1}, {"a": {"b": 2, "c": [1, 3]}, "e": 1}
    assert differences(old, new) == ["a.b: 1 -> 2", "a.c[1]: 2 -> 3", "d: 1 -> null", "e: null -> 1"]


def test_differences_name_a_file_as_it_was_given():
    assert differences({"../a.json": "1"}, {"../a.json": "2"}) == ['../a.json: "1" -> "2"']
    assert differences({".hidden": {"x": 1}}, {".hidden": {"x": 2}}) == [".hidden.x: 1 -> 2"]


def test_schema_describes_fields_and_forbids_others():
    schema = json_schema(Outer, VARIANTS)
    assert schema["required"] == ["path"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["path"] == {"type": "string", "description": "Where it is."}
    assert schema["properties"]["shapes"]["items"] == {"$ref": "#/$defs/shape"}
    radius = schema["$defs"]["circle"]["properties"]["radius"]
    assert (radius["description"], radius["default"], radius["type"]) == ("Metres.", 1.0, ["number", "string"])


def test_field_docs_are_the_strings_below_the_fields():
    assert field_docs(Circle) == {"radius": "Metres."}
