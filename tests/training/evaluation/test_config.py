"""Settings that cannot be."""

import pytest

from pipeline.contract.config import build
from pipeline.contract.errors import ConfigError
from training.evaluation.config import EvalConfig


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "nothing to measure"),
        ({"tasks": ["a"]}, "tasks_dir: is needed for tasks"),
        ({"text": ["a"], "limit": 0}, "limit: must be at least 1, got 0"),
    ],
)
def test_impossible_settings(fields: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        build(EvalConfig, fields, "eval")


def test_it_is_about_benchmarks() -> None:
    with pytest.raises(ValueError, match="exclude_contaminated: is about benchmarks, and no tasks are named"):
        EvalConfig(text=("a",), exclude_contaminated="out")
    with pytest.raises(ConfigError, match="tasks: nothing to measure"):
        from pipeline.contract.config import build

        build(EvalConfig, {}, "eval")
