"""The speed of a config: what is measured, and that variants are compared over the same data."""

import argparse
import json
from pathlib import Path

import pytest

from pipeline.contract.errors import ConfigError
from pipeline.contract.shards import open_shards
from training.runtime import distributed
from training.tools import bench


@pytest.fixture
def config(tmp_path: Path) -> Path:
    tree = {
        "data": {"tokens": "replaced"},
        "batch": {"steps": 10, "tokens": 4 * 32, "micro_batch_size": 2},
        "run": {"output": "unused"},
        "model": {"context_length": 32, "num_layers": 1, "hidden_size": 16, "num_heads": 2},
        "optimizer": {"warmup_steps": 0},
        "parallel": {"device": "cpu"},
    }
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(tree))
    return path


def test_synthetic_shards_are_read_as_any_others(tmp_path: Path) -> None:
    shards = open_shards(bench.write_synthetic(tmp_path, vocabulary=300, tokens=50_000))
    assert shards.manifest.tokens == 50_000
    [shard] = shards.shards
    assert int(shard.tokens.max()) < 300
    assert shard.ends[-1] == 50_000
    assert 30 < len(shard.ends) < 150  # about 700 tokens each


def test_a_variant_is_compared_with_the_config(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [str(config), "--versus", "parallel.loss_chunk=8", "--warmup", "1", "--steps", "2", "--vocabulary", "100"]
    try:
        assert bench.main([*options, "--json"]) == 0
    finally:
        distributed.shut_down()
    said = capsys.readouterr()
    found = json.loads(said.out)
    plain, chunked = found["variants"]
    assert (plain["variant"], chunked["variant"]) == ("as configured", "parallel.loss_chunk=8")
    assert plain["loss"] == pytest.approx(chunked["loss"], abs=1e-5)
    assert 0 < plain["tokens_per_second_p5"] <= plain["tokens_per_second"] <= plain["tokens_per_second_p95"]
    assert plain["mfu"] is None  # no peak is known of a CPU
    lines = said.err.splitlines()
    assert lines[0].startswith("as configured: ")
    assert lines[1].endswith(" x")


def test_variants_have_one_vocabulary(config: Path) -> None:
    options = argparse.Namespace(config=str(config), set=[], versus=["model.vocab_size=50"], vocabulary=100)
    with pytest.raises(ConfigError, match="variants must have one vocabulary"):
        bench.variants(options, "folder")


def test_no_step_is_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main([str(config), "--steps", "0"]) == 2
    assert "--steps: must be at least 1" in capsys.readouterr().err
