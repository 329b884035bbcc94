"""Small pretraining runs, and what they left on disk."""

import json
from pathlib import Path

import torch

from training import checkpoint

STEPS = 6


def pretraining_tree(tokens, output, **sections):
    """A config of STEPS steps on `tokens`, with sections changed key by key."""
    tree = {
        "data": {"tokens": str(tokens)},
        "batch": {"steps": STEPS, "tokens": 8 * 32, "micro_batch_size": 4},
        "run": {"output": str(output), "log_every": 1, "tensorboard": False, "sample_every": None},
        "model": {"context_length": 32, "num_layers": 2, "hidden_size": 32, "num_heads": 4, "num_kv_heads": 2},
        "optimizer": {"warmup_steps": 2, "learning_rate": 0.01},
        "validation": {"every": 3, "sequences": 8},
        "checkpoint": {"every": 2, "keep": None},
        "parallel": {"device": "cpu"},
    }
    for name, values in sections.items():
        if isinstance(values, dict):
            tree[name] = {**tree[name], **values}
        else:
            tree[name] = values
    return tree


def rows(output, name="loss"):
    """Of each step, what metrics.jsonl has under `name`."""
    lines = [json.loads(line) for line in (Path(output) / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line[name] for line in lines if name in line}


def weights(output, step=STEPS):
    return checkpoint.load_for_inference(Path(output) / "checkpoints" / f"step-{step:08d}")[0].state_dict()


def same_bits(a, b):
    return all(torch.equal(value, b[name]) for name, value in a.items())
