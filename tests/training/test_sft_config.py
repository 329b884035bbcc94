"""The config of fine-tuning."""

from pathlib import Path

import pytest

from pipeline.contract.errors import ConfigError
from training.sft_config import load_sft_config

DEMO = Path(__file__).parents[2] / "configs" / "training" / "demo-sft.yaml"


def test_defaults_of_fine_tuning_stay_when_one_field_is_given() -> None:
    optimizer = load_sft_config(DEMO, ["optimizer={learning_rate: 0.5}"]).optimizer
    assert (optimizer.learning_rate, optimizer.warmup_steps, optimizer.weight_decay) == (0.5, 10, 0.0)
    assert load_sft_config(DEMO, ["optimizer={}"]).optimizer.learning_rate == 3e-5


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("validation.fraction=1.5", "fraction: must be between 0 and 1, got 1.5"),
        ("validation.every=0", "every: must be at least 1, got 0"),
        ("batch.rows=0", "rows: must be at least 1, got 0"),
        ("data.train=[]", "train: names no file"),
        ("data.sequence_length=4", "sequence_length: must be at least 8, got 4"),
        ("validation.evry=5", r"unknown field 'evry'\n.*\n  did you mean 'every'"),
        ("batch.micro_batchsize=5", r"unknown field 'micro_batchsize'\n.*\n  did you mean 'micro_batch_size'"),
    ],
)
def test_impossible_configs_say_what_is_wrong(override: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        load_sft_config(DEMO, [override])
