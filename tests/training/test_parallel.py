"""Two processes against one. The processes are started once, run every case, and are judged by the files they leave."""

import json
import shutil
from pathlib import Path

import pytest
from training_runs import STEPS, rows, same_bits, weights

from pipeline.contract.config import build
from training import checkpoint, pretrain
from training.config import ParallelConfig, PretrainConfig
from training.run import train
from training.runtime import distributed, launch

CASES = {
    "plain": {},
    "accumulating": {"batch": {"micro_batch_size": 1}},
    "uneven": {"batch": {"micro_batch_size": 3}},
    "replicated": {"parallel": {"replicas": 2}},
    "reduced_once": {"parallel": {"sync_every_microbatch": False}, "batch": {"micro_batch_size": 2}},
    "masked": {"data": {"document_mask": True}},
    "recomputed": {"parallel": {"activation_checkpointing": "full", "loss_chunk": 40}},
    "muon": {"optimizer": {"name": "muon"}},
    "gpt2": {"model": {"type": "gpt2", "num_kv_heads": None}},
}
"""What differs from the plain config; each is run on one process and on two."""


def tree_of(tokens, output, **sections):
    tree = {
        "data": {"tokens": str(tokens)},
        "batch": {"steps": STEPS, "tokens": 9 * 32, "micro_batch_size": 8},
        "run": {"output": str(output), "log_every": 1, "tensorboard": False, "sample_tokens": 3},
        "model": {"context_length": 32, "num_layers": 2, "hidden_size": 32, "num_heads": 4, "num_kv_heads": 2},
        "optimizer": {"warmup_steps": 2, "learning_rate": 0.01},
        "validation": {"every": 3, "sequences": 5},
        "checkpoint": {"every": 3, "keep": None},
        "parallel": {"device": "cpu"},
    }
    return {**tree, **{name: {**tree[name], **values} for name, values in sections.items()}}


def keep_first_checkpoint(folder, copy):
    """A copy of a run as it was after step 3."""
    shutil.copytree(folder, copy)
    shutil.rmtree(copy / "checkpoints" / "step-00000006")


@pytest.fixture(scope="module")
def runs(tokens, tmp_path_factory):
    """Folders one/CASE and two/CASE; and two/resumed, one/resumed: from the other's or own step 3."""
    folder = tmp_path_factory.mktemp("runs")
    world = distributed.initialize(ParallelConfig(device="cpu"))
    try:
        for name, sections in CASES.items():
            alone = {} if name == "replicated" else sections
            go(world, tree_of(tokens, folder / "one" / name, **alone))
        keep_first_checkpoint(folder / "one" / "plain", folder / "two" / "from_one")
        trees = [tree_of(tokens, folder / "two" / name, **sections) for name, sections in CASES.items()]
        trees += [tree_of(tokens, folder / "two" / "again"), tree_of(tokens, folder / "two" / "from_one")]
        start_two(folder, trees)
        keep_first_checkpoint(folder / "two" / "plain", folder / "two" / "resumed")
        keep_first_checkpoint(folder / "two" / "plain", folder / "one" / "from_two")
        start_two(folder, [tree_of(tokens, folder / "two" / "resumed")])
        go(world, tree_of(tokens, folder / "one" / "from_two"))
    finally:
        distributed.shut_down()
    return folder


def go(world, tree):
    train(pretrain.pretraining_run(build(PretrainConfig, tree, "test")), world)


def start_two(folder, trees):
    cases = folder / "cases.json"
    cases.write_text(json.dumps(trees))
    assert launch.run_processes([str(Path(__file__).parent / "ranks.py"), str(cases)], 2) == 0


@pytest.mark.parametrize("case", CASES)
def test_two_processes_learn_what_one_does(runs, case):
    one, two = rows(runs / "one" / case), rows(runs / "two" / case)
    limit = 2e-3 if case == "muon" else 1e-5  # Muon multiplies in bfloat16, where a last bit of a gradient shows
    assert list(two.values()) == pytest.approx(list(one.values()), abs=limit)
    for name in ("gradient_norm", "validation_loss", "bits_per_byte", "tokens"):
        first, second = rows(runs / "one" / case, name), rows(runs / "two" / case, name)
        assert list(second.values()) == pytest.approx(list(first.values()), rel=limit)


def test_the_cases_do_learn(runs):
    for case in CASES:
        losses = rows(runs / "two" / case)
        assert losses[STEPS] < losses[1] - 0.5


def test_two_processes_twice_are_the_same_to_the_bit(runs):
    assert rows(runs / "two" / "again") == rows(runs / "two" / "plain")
    assert same_bits(weights(runs / "two" / "again"), weights(runs / "two" / "plain"))


def test_two_processes_go_on_to_the_bit(runs):
    assert rows(runs / "two" / "resumed") == rows(runs / "two" / "plain")
    assert same_bits(weights(runs / "two" / "resumed"), weights(runs / "two" / "plain"))


@pytest.mark.parametrize(("resumed", "whole"), [("one/from_two", "one/plain"), ("two/from_one", "one/plain")])
def test_another_number_of_processes_goes_on_with_the_same_sequences(runs, resumed, whole):
    found, expected = rows(runs / resumed), rows(runs / whole)
    assert list(found) == [1, 2, 3, 4, 5, 6]
    assert list(found.values()) == pytest.approx(list(expected.values()), abs=1e-5)
    for name, value in weights(runs / whole).items():
        assert (weights(runs / resumed)[name] - value).abs().max() < 1e-4, name


def test_each_process_writes_its_part(runs):
    parts = {path.name[:3] for path in (runs / "two" / "plain" / "checkpoints" / "step-00000003" / "state").iterdir()}
    assert {"__0", "__1"} <= parts
    assert checkpoint.read(runs / "two" / "plain", check_hashes=True).progress.step == STEPS
