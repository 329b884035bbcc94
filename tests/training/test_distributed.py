"""Two processes against one. The processes are started once, run every case, and are judged by the files they leave."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipeline.contract.config import build
from pipeline.contract.errors import ConfigError
from training import pretrain
from training.checkpoints import checkpoint
from training.config import ParallelConfig, PretrainConfig
from training.runtime import distributed, launch

STEPS = 6
CASES = {
    "plain": {},
    "accumulating": {"batch": {"micro_sequences": 1}},
    "uneven": {"batch": {"micro_sequences": 3}},
    "replicated": {"parallel": {"replicas": 2}},
    "reduced_once": {"parallel": {"sync_every_microbatch": False}, "batch": {"micro_sequences": 2}},
    "masked": {"data": {"document_mask": True}},
    "recomputed": {"parallel": {"recompute": "full", "loss_chunk": 40}},
    "muon": {"optimizer": {"name": "muon"}},
    "gpt2": {"model": {"type": "gpt2", "kv_heads": None}},
}
"""What differs from the plain config; each is run on one process and on two."""


def tree_of(tokens, output, **sections):
    tree = {
        "data": {"tokens": str(tokens)},
        "batch": {"steps": STEPS, "tokens": 9 * 32, "micro_sequences": 8},
        "run": {"output": str(output), "log_every": 1, "tensorboard": False, "sample_tokens": 3},
        "model": {"context_length": 32, "layers": 2, "width": 32, "heads": 4, "kv_heads": 2},
        "optimizer": {"warmup_steps": 2, "learning_rate": 0.01},
        "validation": {"every": 3, "sequences": 5},
        "checkpoint": {"every": 3, "keep": None},
        "parallel": {"device": "cpu"},
    }
    return {**tree, **{name: {**tree[name], **values} for name, values in sections.items()}}


def rows(output, name="loss"):
    lines = [json.loads(line) for line in (Path(output) / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line[name] for line in lines if name in line}


def weights(output, step=STEPS):
    return checkpoint.load_for_inference(Path(output) / "checkpoints" / f"step-{step:08d}")[0].state_dict()


def keep_first_checkpoint(folder, copy):
    """A copy of a run as it was after step 3."""
    shutil.copytree(folder, copy)
    shutil.rmtree(copy / "checkpoints" / "step-00000006")


@pytest.fixture(scope="module")
def runs(tokens, tmp_path_factory):
    """Folders one/CASE and two/CASE; and two/resumed, one/resumed: from the other's or own step 3."""
    folder = tmp_path_factory.mktemp("runs")
    world = distributed.start(ParallelConfig(device="cpu"))
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
        distributed.stop()
    return folder


def go(world, tree):
    pretrain.run(pretrain.open_inputs(build(PretrainConfig, tree, "test")), world)


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


def same_bits(a, b):
    return all(torch.equal(value, b[name]) for name, value in a.items())


def test_a_mistake_is_found_before_anything_starts(tokens, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(tree_of(tokens, tmp_path / "run")))
    with pytest.raises(ConfigError, match="unknown field 'modle'"):
        launch.launch(config, ["modle=1"], 2)
    with pytest.raises(ConfigError, match=r"--nproc: must be at least 1, got 0"):
        launch.launch(config, [], 0)
    assert not (tmp_path / "run").exists()


SCRIPT = """
import os, signal, sys, time
rank = os.environ["RANK"]
assert os.environ["WORLD_SIZE"] == "3"
if sys.argv[1] == "fail" and rank == "1":
    sys.exit(7)
if sys.argv[1] == "die" and rank == "2":
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[1] == "well":
    sys.exit(0)
os.write(1, f"{os.getpid()}\\n".encode())  # one write: three processes share the pipe
time.sleep(600)
"""


@pytest.mark.parametrize(("how", "code"), [("well", 0), ("fail", 7), ("die", 137)])
def test_processes_live_and_die_together(tmp_path, monkeypatch, how, code):
    (tmp_path / "script.py").write_text(SCRIPT)
    monkeypatch.setattr(launch, "SETTLE_SECONDS", 0.2)
    assert launch.run_processes([str(tmp_path / "script.py"), how], 3) == code


def test_a_signal_reaches_every_process(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    program = "import sys; from training.runtime.launch import run_processes; sys.exit(run_processes(sys.argv[1:], 3))"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "script.py"), "wait"], stdout=subprocess.PIPE, text=True
    )
    pids = [int(process.stdout.readline()) for _ in range(3)]
    process.terminate()
    assert process.wait(60) == 143
    process.stdout.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


ORPHAN = """
import os, sys, time
from training import parallel
from training.config import ParallelConfig
distributed.start(ParallelConfig(device="cpu"))
print(os.getpid(), flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_processes_do_not_outlive_a_killed_launcher(tmp_path):
    (tmp_path / "script.py").write_text(ORPHAN)
    program = "import sys; from training.runtime.launch import run_processes; run_processes(sys.argv[1:], 1)"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "script.py")], stdout=subprocess.PIPE, text=True
    )
    assert int(process.stdout.readline()) != process.pid
    process.kill()
    process.wait()
    assert process.stdout.read() == ""  # the pipe closes when its last holder has ended
    process.stdout.close()
