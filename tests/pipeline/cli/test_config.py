"""`tokenmill config`: what a config says, with every default, for each kind of config."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.contract.errors import ConfigError, UserError

CONFIGS = Path(__file__).resolve().parents[3] / "configs"


def run(*arguments):
    result = CliRunner().invoke(app, ["config", *map(str, arguments)])
    if result.exception:
        raise result.exception
    return result.output


@pytest.mark.parametrize("name", ["pipeline/fineweb-en", "training/demo-1m", "training/demo-sft"])
def test_what_is_shown_is_a_config_again(tmp_path, name):
    shown = run("show", CONFIGS / f"{name}.yaml", "--set", "seed=7")
    (tmp_path / "shown.yaml").write_text(shown)
    assert run("show", tmp_path / "shown.yaml") == shown
    assert yaml.safe_load(shown)["seed"] == 7


def test_inputs_and_output_are_those_of_the_build(tmp_path):
    (tmp_path / "c.yaml").write_text("filter: [gopher_quality]\n")
    tree = yaml.safe_load(run("show", tmp_path / "c.yaml", "--input", "a/*.gz", "--input", "b", "--output", "out"))
    assert (tree["input"]["paths"], tree["run"]["output"]) == (["a/*.gz", "b"], "out")
    assert tree["filter"][0]["gopher_quality"]["min_words"] == 50


@pytest.mark.parametrize("option", ["--input", "--output", "--stages"])
@pytest.mark.parametrize(("name", "kind"), [("demo-1m", "training"), ("demo-sft", "sft")])
def test_options_of_a_build_do_not_fit_the_others(option, name, kind):
    with pytest.raises(UserError, match=f"are for a config of `build`; .* is one of {kind}\n  use --set"):
        run("show", CONFIGS / f"training/{name}.yaml", option, "x")


def test_a_key_that_is_none_is_named(tmp_path):
    (tmp_path / "c.yaml").write_text("sed: 1\n")
    with pytest.raises(ConfigError, match="unknown field 'sed'"):
        run("show", tmp_path / "c.yaml")


@pytest.mark.parametrize(("kind", "key"), [("pipeline", "extract"), ("training", "optimizer"), ("sft", "init_from")])
def test_the_schema_of_each_kind_has_its_keys_and_no_others(kind, key):
    found = json.loads(run("schema", kind))
    assert key in found["properties"] and found["additionalProperties"] is False


def test_the_schema_of_a_build_is_the_default_and_other_kinds_are_refused():
    assert run("schema") == run("schema", "pipeline")
    with pytest.raises(UserError) as caught:
        run("schema", "cake")
    assert (caught.value.problem, caught.value.known) == ("unknown kind 'cake'", ("pipeline", "training", "sft"))
