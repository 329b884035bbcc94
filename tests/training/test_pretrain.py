"""Whole runs of one process, in this process."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from training_runs import STEPS, pretraining_tree, rows, same_bits, weights

from pipeline.contract.config import build
from pipeline.contract.errors import ConfigError, InputError
from training import checkpoint, loop, parallel, pretrain
from training.config import ParallelConfig, PretrainConfig
from training.model.initialization import new_model
from training.run import train
from training.runtime import distributed


@pytest.fixture(scope="module")
def world():
    """One process, with its group."""
    yield distributed.initialize(ParallelConfig(device="cpu"))
    distributed.shut_down()


def run(world, tree):
    return train(pretrain.pretraining_run(build(PretrainConfig, tree, "test")), world)


@pytest.fixture(scope="module")
def undisturbed(world, tokens, tmp_path_factory):
    """The folder of a run from start to end."""
    output = tmp_path_factory.mktemp("undisturbed")
    outcome = run(
        world, pretraining_tree(tokens, output, run={"sample_every": 3, "sample_tokens": 5, "tensorboard": True})
    )
    assert (outcome.progress.step, outcome.signal) == (STEPS, None)
    return output


def test_a_run_learns_and_writes_down_what_it_did(undisturbed):
    losses = rows(undisturbed)
    assert list(losses) == [1, 2, 3, 4, 5, 6]
    assert losses[1] == pytest.approx(5.55, abs=0.1)  # ln 257
    assert losses[6] < losses[1] - 0.5
    validation, bits = rows(undisturbed, "validation_loss"), rows(undisturbed, "bits_per_byte")
    assert list(validation) == [3, 6]
    assert validation[6] == pytest.approx(losses[6], abs=0.6)
    assert bits[6] == pytest.approx(validation[6] / 0.6931, rel=0.05)  # a token is a byte here, but for end-of-text
    assert rows(undisturbed, "tokens")[6] == 6 * 256
    assert "mfu" not in (undisturbed / "metrics.jsonl").read_text()  # no peak is known for a CPU
    samples = [json.loads(line) for line in (undisturbed / "samples.jsonl").read_text().splitlines()]
    assert [(row["step"], row["prompt"]) for row in samples] == [(3, ""), (6, "")]
    assert list((undisturbed / "tensorboard").iterdir())


def test_the_same_run_twice_is_the_same_to_the_bit(world, tokens, undisturbed, tmp_path):
    run(world, pretraining_tree(tokens, tmp_path))
    assert rows(tmp_path) == rows(undisturbed)
    assert same_bits(weights(tmp_path), weights(undisturbed))


def test_a_finished_run_has_nothing_left_to_do(world, tokens, undisturbed, capsys):
    outcome = run(world, pretraining_tree(tokens, undisturbed))
    assert f"all {STEPS} steps are done already, so nothing is left to do" in capsys.readouterr().err
    assert outcome.last is None
    assert outcome.progress.step == STEPS


def test_a_run_ended_by_a_signal_saves_and_goes_on_to_the_bit(world, tokens, undisturbed, tmp_path, monkeypatch):
    tree = pretraining_tree(tokens, tmp_path, checkpoint={"every": None})
    step_of = loop._update

    def interrupted(job, batches, progress, *, stop):
        if progress.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return step_of(job, batches, progress, stop=stop)

    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_update", interrupted)
        outcome = run(world, tree)
    assert (outcome.progress.step, outcome.signal) == (4, signal.SIGTERM)
    assert [path.name for path in checkpoint.list_checkpoints(tmp_path / "checkpoints")] == ["step-00000004"]
    assert signal.getsignal(signal.SIGTERM) == before
    run(world, tree)
    assert rows(tmp_path) == rows(undisturbed)
    assert same_bits(weights(tmp_path), weights(undisturbed))


def test_the_command_says_what_a_signal_left(world, tokens, tmp_path, monkeypatch, capsys):
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(pretraining_tree(tokens, tmp_path)))
    real = loop._update

    def interrupted(*args, **settings):
        os.kill(os.getpid(), signal.SIGHUP)
        return real(*args, **settings)

    monkeypatch.setattr(loop, "_update", interrupted)
    assert pretrain.main([str(config)]) == 128 + signal.SIGHUP
    saved = tmp_path / "checkpoints" / "step-00000002"
    line = f"stopped by SIGHUP; step 2 of 6 is saved in {saved}; the same command goes on from there"
    assert capsys.readouterr().err.splitlines()[-1] == line


def test_a_killed_run_goes_on_to_the_bit(world, tokens, undisturbed, tmp_path):
    """SIGKILL as soon as the first checkpoint is there; rows after it are dropped and written again."""
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(pretraining_tree(tokens, tmp_path / "run")))
    process = subprocess.Popen([sys.executable, "-m", "training.pretrain", str(config)], stderr=subprocess.PIPE)
    until = time.monotonic() + 120
    while not checkpoint.list_checkpoints(tmp_path / "run" / "checkpoints") and time.monotonic() < until:
        time.sleep(0.005)
    process.kill()
    _, errors = process.communicate()
    assert checkpoint.list_checkpoints(tmp_path / "run" / "checkpoints"), errors.decode()
    metrics = tmp_path / "run" / "metrics.jsonl"
    metrics.write_text(metrics.read_text() + '{"step": 5, "loss": 99.0}\n{"step": 6, "lo')
    run(world, pretraining_tree(tokens, tmp_path / "run"))
    assert rows(tmp_path / "run") == rows(undisturbed)
    assert same_bits(weights(tmp_path / "run"), weights(undisturbed))
    assert not list((tmp_path / "run" / "checkpoints").glob(".*"))


@pytest.mark.parametrize(
    ("section", "values", "named"),
    [
        ("optimizer", {"learning_rate": 0.02}, "optimizer.learning_rate: 0.01 -> 0.02"),
        ("model", {"num_layers": 3}, "model.num_layers: 2 -> 3"),
        ("batch", {"steps": 7}, "batch.steps: 6 -> 7"),
        ("validation", {"fraction": 0.02}, "validation.fraction: 0.01 -> 0.02"),
        ("seed", 18, "seed: 17 -> 18"),
    ],
)
def test_a_changed_config_is_not_resumed(world, tokens, undisturbed, section, values, named):
    with pytest.raises(ConfigError, match=r"was trained with another config: ") as error:
        run(world, pretraining_tree(tokens, undisturbed, **{section: values}))
    assert named in str(error.value)


def test_changed_shards_are_not_resumed(world, undisturbed, tmp_path, write_tokens):
    other = write_tokens(tmp_path / "other", ["some other text, long enough for a few sequences " * 40] * 10)
    with pytest.raises(ConfigError, match=r"data\.sha256\[0\]\.sha256: "):
        run(world, pretraining_tree(other, undisturbed))


def test_shards_may_move_and_micro_batches_may_change(world, tokens, undisturbed, tmp_path):
    moved = tmp_path / "moved"
    moved.symlink_to(tokens)
    assert run(world, pretraining_tree(moved, undisturbed, batch={"micro_batch_size": 2})).last is None


def test_resume_false_wants_an_empty_folder(world, tokens, undisturbed):
    with pytest.raises(ConfigError, match=r"run\.resume is false"):
        run(world, pretraining_tree(tokens, undisturbed, run={"resume": False}))


def test_weights_of_another_run_can_be_a_start(world, tokens, undisturbed, tmp_path):
    model = {"vocab_size": 300}
    run(world, pretraining_tree(tokens, tmp_path, init_from=str(undisturbed), model=model, batch={"steps": 3}))
    assert rows(tmp_path)[1] == pytest.approx(rows(undisturbed)[6], abs=0.7)
    found = checkpoint.read(tmp_path)
    assert found.provenance["init_from"] == checkpoint.fingerprint(undisturbed)


@pytest.mark.parametrize("change", [{"batch": {"micro_batch_size": 1}}, {"batch": {"micro_batch_size": 3}},
                                    {"parallel": {"activation_checkpointing": "full"}},
                                    {"parallel": {"activation_checkpointing": "selective"}},
                                    {"parallel": {"loss_chunk": 50}}, {"parallel": {"sync_every_microbatch": False}},
                                    {"parallel": {"reshard_after_forward": False}}])  # fmt: skip
def test_what_only_changes_speed_and_memory_changes_no_loss(world, tokens, undisturbed, tmp_path, change):
    run(world, pretraining_tree(tokens, tmp_path, **change))
    expected, found = rows(undisturbed), rows(tmp_path)
    assert [found[step] for step in expected] == pytest.approx(list(expected.values()), abs=5e-6)


def test_document_masks_change_what_is_learned(world, tokens, undisturbed, tmp_path):
    run(world, pretraining_tree(tokens, tmp_path, data={"document_mask": True}))
    assert abs(rows(tmp_path)[6] - rows(undisturbed)[6]) > 1e-4
    assert rows(tmp_path)[6] < rows(tmp_path)[1] - 0.5


@pytest.mark.parametrize("optimizer", [{"name": "muon"}, {"schedule": "wsd"}])
def test_other_optimizers_learn_and_resume_too(world, tokens, tmp_path, optimizer):
    tree = pretraining_tree(tokens, tmp_path / "a", optimizer=optimizer)
    run(world, tree)
    assert rows(tmp_path / "a")[6] < rows(tmp_path / "a")[1] - 0.5
    resumed = tmp_path / "b" / "checkpoints"
    resumed.mkdir(parents=True)
    (tmp_path / "a" / "checkpoints" / "step-00000004").rename(resumed / "step-00000004")
    run(world, pretraining_tree(tokens, tmp_path / "b", optimizer=optimizer))
    assert same_bits(weights(tmp_path / "a"), weights(tmp_path / "b"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "parallel", [{}, {"activation_checkpointing": "selective"}, {"activation_checkpointing": "full", "loss_chunk": 40}]
)
def test_compiled_blocks_learn_the_same(world, tokens, undisturbed, tmp_path, parallel):
    run(world, pretraining_tree(tokens, tmp_path, parallel={"compile": True, **parallel}))
    expected, found = rows(undisturbed), rows(tmp_path)
    assert [found[step] for step in expected] == pytest.approx(list(expected.values()), abs=2e-5)


def test_a_vocabulary_too_small_is_refused(tokens, tmp_path):
    with pytest.raises(ConfigError, match="256 is too small for the shards' tokenizer 'bytes', which has 257 ids"):
        pretrain.open_inputs(
            build(PretrainConfig, pretraining_tree(tokens, tmp_path, model={"vocab_size": 256}), "test")
        )


def test_a_damaged_checkpoint_is_not_resumed(world, tokens, tmp_path):
    run(world, pretraining_tree(tokens, tmp_path, batch={"steps": 3}))
    part = checkpoint.find(tmp_path) / "state" / "__0_0.distcp"
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"__0_0\.distcp: has"):
        run(world, pretraining_tree(tokens, tmp_path, batch={"steps": 3}))


def test_the_command_says_what_is_wrong_and_returns_2(tokens, tmp_path, capsys):
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(pretraining_tree(tokens, tmp_path / "run")))
    assert pretrain.main([str(config), "--set", "model.layerz=3"]) == 2
    assert "model: unknown field 'layerz'" in capsys.readouterr().err
    assert pretrain.main([str(config), "--set", "data.tokens=/nowhere"]) == 2
    assert "/nowhere: holds no token shards" in capsys.readouterr().err
    assert pretrain.main([str(tmp_path / "gone.yaml")]) == 2


def test_the_model_of_a_run_is_the_plain_one(world, tokens, undisturbed):
    """Sharded and drawn part by part, or plain: the same weights."""
    inputs = pretrain.open_inputs(build(PretrainConfig, pretraining_tree(tokens, undisturbed), "test"))
    sharded = parallel.parallelize(inputs.config.model, ParallelConfig(device="cpu"), world, 17)
    plain = new_model(inputs.config.model, 17)
    for (name, a), b in zip(sharded.named_parameters(), plain.parameters(), strict=True):
        assert torch.equal(distributed.full_tensor(a), b), name
