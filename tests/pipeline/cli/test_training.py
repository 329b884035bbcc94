"""The commands of the training half: mistakes are told before anything is loaded."""

import pytest
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.contract.errors import ConfigError, UserError


def refused(*arguments):
    """The mistake that a command names."""
    result = CliRunner().invoke(app, list(arguments))
    assert isinstance(result.exception, UserError), result.output
    return result.exception


@pytest.mark.parametrize(
    "options", [(), ("--step", "1", "--url", "https://a.example/"), ("--url", "x", "--domain", "a.example")]
)
def test_lineage_is_asked_one_question(options):
    assert str(refused("lineage", "/none", *options)) == "lineage: give one of --step, --url and --domain"


@pytest.mark.parametrize("name", ["megatron", "llmc", "mds", "parquet"])
def test_formats_of_token_shards_lead_to_their_own_command(name):
    found = refused("export", "my run", "x", "--to", name)
    assert (found.problem, found.known) == (f"unknown format '{name}'", ("hf",))
    assert found.hint == f"token shards are exported by `tokenmill export-shards 'my run' FOLDER --to {name}`"


def test_a_format_that_nothing_writes_has_no_hint():
    assert refused("export", "run", "x", "--to", "gguf").hint is None


@pytest.mark.parametrize("command", ["sample", "chat"])
@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--temperature", "-0.1", "temperature: must be at least 0, got -0.1"),
        ("--top-k", "0", "top_k: must be at least 1, got 0"),
        ("--top-p", "1.5", "top_p: must be above 0 and at most 1, got 1.5"),
        ("--max-tokens", "0", "max_tokens: must be at least 1, got 0"),
    ],
)
def test_impossible_sampling_is_named_before_a_checkpoint_is_read(command, option, value, problem):
    found = refused(command, "/none", option, value)
    assert isinstance(found, ConfigError) and problem in str(found)


@pytest.mark.parametrize("command", ["train", "sft"])
def test_a_config_that_is_missing_is_named(command):
    assert "cannot read the config" in refused(command, "/none.yaml").problem


def test_an_evaluation_of_nothing_is_refused():
    assert "tasks: nothing to measure" in str(refused("eval", "/none", "--tasks", " , "))
