from pathlib import Path

import pytest
import yaml

from pipeline.contract.errors import ConfigError
from training.config import ModelConfig, load_config
from training.model.flops import parameter_count

FOLDER = Path(__file__).parents[2] / "configs" / "training"
SIZES = {
    "demo-1m.yaml": (4096, 984_448, 1_508_736),
    "gpt2-124m.yaml": (50_257, 85_056_000, 124_439_808),
    "llama-350m.yaml": (50_257, None, 334_628_864),
    "llama-1b.yaml": (50_257, None, 1_564_907_520),
    "llama-8b.yaml": (128_256, None, 8_030_261_248),
}
"""Vocabulary, parameters without tables, all parameters."""


@pytest.mark.parametrize("name", SIZES)
def test_the_shipped_configs_load_and_have_the_size_they_say(name):
    vocabulary, inner, total = SIZES[name]
    config = load_config(FOLDER / name, [f"model.vocab_size={vocabulary}"])
    assert parameter_count(config.model) == total
    assert inner is None or parameter_count(config.model, embeddings=False) == inner
    assert config.sequences_per_step * config.sequence_length == config.batch.tokens


@pytest.mark.parametrize("name", SIZES)
def test_the_first_lines_say_hardware_time_and_cost(name):
    head = "".join(line for line in (FOLDER / name).read_text().splitlines()[:8] if line.startswith("#")).lower()
    for word in ("hardware", "time", "cost"):
        assert word in head
    assert "estimate" in head or "measured" in head


def test_every_pretraining_config_is_in_the_list():
    trees = {path.name: yaml.safe_load(path.read_text()) for path in FOLDER.glob("*.yaml")}
    assert {name for name, tree in trees.items() if "batch" in tree and "tokens" in tree.get("data", {})} == set(SIZES)


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("batch.tokens=1000", "batch.tokens: must be a multiple of the sequence length 256, got 1000"),
        ("data.sequence_length=512", "data.sequence_length: 512 is above model.context_length 256"),
        ("optimizer.warmup_steps=250", "optimizer.warmup_steps: must be below batch.steps (250), got 250"),
        ("model.type=bert", "model.type: expected one of llama, gpt2"),
        ("parallel.dtype=fp8", "parallel.dtype: expected one of auto, bfloat16, float32"),
        ("checkpoint.keep=0", "keep: must be at least 1, got 0"),
        ("data.tokens=[{path: a, weight: 0}]", "weight: must be above 0, got 0"),
        ("optimizer.learningrate=1", "unknown field 'learningrate'"),
    ],
)
def test_impossible_configs_say_what_is_wrong(override, problem):
    with pytest.raises(ConfigError) as error:
        load_config(FOLDER / "demo-1m.yaml", [override])
    assert problem in str(error.value)


def test_a_folder_or_a_mix():
    one = load_config(FOLDER / "demo-1m.yaml", ["data.tokens=somewhere"])
    assert [(source.path, source.weight) for source in one.data.sources] == [("somewhere", 1.0)]
    two = load_config(FOLDER / "demo-1m.yaml", ["data.tokens=[{path: a, weight: 3}, {path: b}]"])
    assert [(source.path, source.weight) for source in two.data.sources] == [("a", 3.0), ("b", 1.0)]


@pytest.mark.parametrize(("size", "padded"), [(1, 64), (64, 64), (65, 128), (50_257, 50_304)])
def test_the_vocabulary_is_padded_to_a_multiple_of_64(size, padded):
    assert ModelConfig(vocab_size=size).padded_vocab_size == padded


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"hidden_size": 100, "num_heads": 12}, r"hidden_size: must be a multiple of num_heads \(12\), got 100"),
        ({"num_heads": 12, "num_kv_heads": 5}, r"num_kv_heads: must divide num_heads \(12\), got 5"),
        ({"head_dim": 63}, "head_dim: rotary positions need an even size, got 63"),
        ({"num_layers": 0}, "num_layers: must be at least 1, got 0"),
        ({"norm_eps": 0.0}, "norm_eps: must be above 0, got 0.0"),
    ],
)
def test_impossible_shapes(fields, problem):
    with pytest.raises(ValueError, match=problem):
        ModelConfig(**fields)
