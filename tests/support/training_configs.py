"""Configs for the tests of training."""

from pipeline.contract.config import build
from training.config import PretrainConfig


def data_config(tokens, length=8, **sections):
    """A run on sequences of `length` tokens, six a step."""
    tree = {
        "data": {"tokens": str(tokens) if not isinstance(tokens, list) else tokens},
        "batch": {"steps": 10, "tokens": 6 * length, "micro_batch_size": 2},
        "run": {"output": "unused"},
        "model": {"context_length": length},
        "optimizer": {"warmup_steps": 0},
    }
    for name, values in sections.items():
        tree.setdefault(name, {}).update(values)
    return build(PretrainConfig, tree, "test")
