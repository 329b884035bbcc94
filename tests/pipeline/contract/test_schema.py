"""The JSON schemas of the configs: whole, valid, and of one mind with the loader."""

import copy
import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.config import VARIANTS, PipelineConfig
from pipeline.contract.config import build, keys_of, resolved
from pipeline.contract.errors import ConfigError
from pipeline.contract.yaml_text import read_yaml
from training.config import PretrainConfig
from training.sft_config import SftConfig

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
CLASSES = {"pipeline": PipelineConfig, "training": PretrainConfig, "sft": SftConfig}
SHIPPED = {path: "sft" if "sft" in path.stem else path.parent.name for path in sorted(CONFIGS.glob("*/*.yaml"))}


@pytest.fixture(scope="module")
def schemas() -> dict[str, dict[str, Any]]:
    """As the command prints them."""
    return {kind: json.loads(CliRunner().invoke(app, ["config", "schema", kind]).stdout) for kind in CLASSES}


@pytest.fixture(scope="module")
def validators(schemas) -> dict[str, Draft202012Validator]:
    return {kind: Draft202012Validator(schema) for kind, schema in schemas.items()}


@pytest.mark.parametrize("kind", CLASSES)
def test_it_is_a_schema_of_the_draft_it_names(schemas, kind):
    assert schemas[kind]["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schemas[kind])
    assert kind in schemas[kind]["title"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_configs_are_valid_and_those_with_every_default_too(validators, path):
    validator, cls = validators[SHIPPED[path]], CLASSES[SHIPPED[path]]
    tree = read_yaml(path)
    assert list(validator.iter_errors(tree)) == []
    written_out = json.loads(json.dumps(resolved(build(cls, tree, path.name, VARIANTS), VARIANTS)))
    assert list(validator.iter_errors(written_out)) == []


def nodes(schema: Any, root: dict[str, Any], seen: set[str]) -> list[dict[str, Any]]:
    """Every schema in a schema, references followed once."""
    if not isinstance(schema, dict):
        return []
    if "$ref" in schema and schema["$ref"] not in seen:
        seen.add(schema["$ref"])
        return [schema, *nodes(root["$defs"][schema["$ref"].rpartition("/")[2]], root, seen)]
    inner = [*schema.get("anyOf", ()), schema.get("items"), schema.get("additionalProperties")]
    inner += [*schema.get("properties", {}).values(), *schema.get("patternProperties", {}).values()]
    return [schema, *(node for one in inner for node in nodes(one, root, seen))]


def classes_in(hint: Any) -> set[type]:
    """The config classes that a hint leads to, stages included."""
    if hint in VARIANTS:
        registry = VARIANTS[hint]
        return {cls for name in registry.names() for cls in classes_in(registry.load(name))}
    if dataclasses.is_dataclass(hint):
        return {typing.cast(type, hint)}.union(*(classes_in(key.hint) for key in keys_of(hint).values()))
    if isinstance(hint, types.UnionType) or typing.get_args(hint):
        return set().union(*(classes_in(arg) for arg in typing.get_args(hint)))
    return set()


@pytest.mark.parametrize("kind", CLASSES)
def test_every_field_of_every_config_class_occurs_with_its_documentation(schemas, kind):
    found = nodes(schemas[kind], schemas[kind], set())
    objects = [node["properties"] for node in found if node.get("additionalProperties") is False]
    wanted = classes_in(CLASSES[kind])
    assert len(wanted) > 5
    for cls in wanted:
        keys = keys_of(cls)
        assert any(set(properties) == set(keys) for properties in objects), cls
    for properties in objects:
        for name, one in properties.items():
            assert one.get("description"), name


def test_what_an_editor_shows_of_a_key(schemas):
    schema = schemas["pipeline"]
    stage = schema["$defs"]["stage"]["anyOf"][0]["properties"]
    assert stage["c4"]["description"].startswith("Remove lines that are no prose")
    quality = schema["$defs"]["gopher_quality"]["properties"]
    assert quality["min_words"] == {
        "anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}],
        "default": 50, "description": "Words that are not pure symbols.",
    }  # fmt: skip
    assert set(quality["languages"]["additionalProperties"]["properties"]) > {"min_words", "max_mean_word_length"}
    assert quality["stop_words_by_language"]["default"] == {}
    bare = schema["$defs"]["stage"]["anyOf"][1]["enum"]
    assert "gopher_quality" in bare
    assert "datatrove" not in bare, "its class is required"


def changed(path: str, value: Any) -> dict[str, Any]:
    """A small pipeline config with one value set; `path` is split at slashes."""
    tree: dict[str, Any] = {
        "extract": [{"language_id": {"keep": ["en"]}}],
        "filter": [{"gopher_quality": {}}],
        "dedup": {"minhash": {}}, "tokenize": {}, "run": {"ray": {}},
    }  # fmt: skip
    node: Any = tree
    keys = path.split("/")
    for key in keys[:-1]:
        node = node[int(key) if isinstance(node, list) else key]
    node[int(keys[-1]) if isinstance(node, list) else keys[-1]] = value
    return tree


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("sede", 1), ("seed", "x"), ("seed", 1.5), ("seed", True), ("extract", {}), ("extract", None), ("run", None),
        ("filter/0", "gopher_qualty"), ("filter/0", {"gopher_qualty": {}}), ("filter/0", {"c4": {}, "fineweb": {}}),
        ("filter/0", {}), ("filter/0", None), ("filter/0", "datatrove"), ("filter/0", {"datatrove": {}}),
        ("filter/0", {"c4": {"min_sentenses": 3}}), ("filter/0", {"c4": {"min_sentences": "three"}}),
        ("filter/0", {"c4": {"min_sentences": -1}}), ("filter/0", {"c4": 5}),
        ("filter/0", {"gopher_quality": {"languages": {"de": {"min_word": 3}}}}),
        ("filter/0", {"gopher_quality": {"languages": {"de": {"min_words": "x"}}}}),
        ("extract/0", {"language_id": {"min_score": 1.5}}), ("extract/0", {"language_id": {"keep": "en"}}),
        ("extract/0", {"main_text": {"engine": "justext"}}), ("dedup/keep", "latest"), ("dedup/minhash/bands", 0),
        ("run/workers", 0), ("run/ray/retries", -1), ("tokenize/tokens_per_shard", 0), ("tokenize/rehydrate", 3),
    ],
)  # fmt: skip
def test_what_the_loader_refuses_the_schema_refuses(validators, path, value):
    tree = changed(path, value)
    with pytest.raises(ConfigError):
        build(PipelineConfig, copy.deepcopy(tree), "c.yaml", VARIANTS)
    assert list(validators["pipeline"].iter_errors(tree)) != []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seed", 3), ("filter/0", "gopher_quality"), ("filter/0", {"c4": None}), ("filter/0", {"fineweb": {}}),
        ("filter/0", {"c4": {"min_sentences": None}}), ("filter/0", {"c4": {"min_sentences": 0}}),
        ("filter/0", {"gopher_quality": {"languages": {"de": {"min_words": None}}}}),
        ("filter/0", {"gopher_quality": {"min_words": 200_000, "max_words": 300_000}}),
        ("filter/0", {"gopher_quality": {"max_mean_word_length": 2, "min_mean_word_length": "1e0"}}),
        ("filter/0", {"datatrove": {"class": "datatrove.pipeline.filters.LambdaFilter",
                                    "args": {"filter_function": 1}}}),
        ("extract/0", {"language_id": {"keep": None, "min_score": 1}}), ("dedup/keep", {"best_signal": "c4.sentences"}),
        ("dedup", None), ("run/workers", None), ("run/workers", 1), ("tokenize/rehydrate", {}),
    ],
)  # fmt: skip
def test_what_the_loader_takes_the_schema_takes(validators, path, value):
    tree = changed(path, value)
    build(PipelineConfig, copy.deepcopy(tree), "c.yaml", VARIANTS)
    assert list(validators["pipeline"].iter_errors(tree)) == []


def test_a_stage_of_the_users_own_is_taken_under_its_dotted_name(validators):
    for own in ("cookies.CookieFilter", {"cookies.CookieFilter": {"max_cookies": 1}}, {"a.b.C": None}):
        assert list(validators["pipeline"].iter_errors(changed("filter/0", own))) == []
    for wrong in ("cookies.", {"cookies..Filter": {}}, {"a.b": 3}):
        assert list(validators["pipeline"].iter_errors(changed("filter/0", wrong))) != []
