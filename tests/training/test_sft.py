"""Fine-tuning from end to end on a tiny model: it learns to answer and to stop, resumes, and runs on two processes."""

import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from training import checkpoint, sft
from training.chat.loaded_model import load_model
from training.chat.terminal import run_chat, run_sample
from training.config import ModelConfig
from training.model.generation import Sampling
from training.model.initialization import new_model
from training.model.transformer import Transformer

QUESTIONS = {"one": "eins", "two": "zwei", "three": "drei!"}


def conversations(folder: Path, pairs: Sequence[tuple[str, str]]) -> Path:
    path = folder / "train.jsonl"
    lines = [{"messages": [{"role": "user", "content": a}, {"role": "assistant", "content": b}]} for a, b in pairs]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def config(tmp_path: Path, save_parent: Callable[[Transformer], Path]) -> Callable[..., Path]:
    """Writes a config with a new parent checkpoint and the questions above; sections are merged into the defaults."""

    def write(pairs: Sequence[tuple[str, str]] = tuple(QUESTIONS.items()), **sections: Any) -> Path:
        # 300 rows for 257 tokens: the parent has room for the chat tokens, which it never saw.
        vocabulary = sections.pop("vocabulary", 257)
        shape = ModelConfig(num_layers=2, hidden_size=32, num_heads=2, context_length=32, vocab_size=vocabulary)
        tree: dict[str, Any] = {
            "init_from": str(save_parent(new_model(shape, seed=1))),
            "data": {"train": [str(conversations(tmp_path, pairs))]},
            "batch": {"epochs": 4, "rows": 2, "micro_batch_size": 1},
            "optimizer": {"learning_rate": 0.01, "warmup_steps": 1},
            "validation": {"fraction": None},
            "run": {"output": str(tmp_path / "out"), "log_every": 1, "tensorboard": False, "sample_every": None},
            "parallel": {"device": "cpu"},
        }
        for name, section in sections.items():
            tree[name] = {**tree[name], **section} if isinstance(section, dict) and name in tree else section
        path = tmp_path / "sft.yaml"
        path.write_text(yaml.safe_dump(tree))
        return path

    return write


def losses(output: Path) -> list[float]:
    rows = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if "loss" in row]


def weights(path: Path) -> dict[str, torch.Tensor]:
    return dict(load_model(path, "cpu").model.named_parameters())


def test_it_learns_to_answer_and_to_stop(config: Callable[..., Path], tmp_path: Path) -> None:
    held_out = tmp_path / "held_out.jsonl"
    path = config(
        batch={"epochs": 70, "rows": 2, "micro_batch_size": 2},
        validation={"every": 50},
        run={"log_every": 5, "sample_every": 50, "sample_prompts": ["two"]},
        checkpoint={"keep": 1},
    )
    held_out.write_text((tmp_path / "train.jsonl").read_text())
    assert sft.main([str(path), "--set", f"validation.files=[{held_out}]"]) == 0
    output = tmp_path / "out"
    assert losses(output)[0] > 2 > 0.1 > losses(output)[-1]
    rows = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert [row["validation_loss"] < 0.1 for row in rows if "validation_loss" in row][-1]
    greedy = Sampling(temperature=0.0, max_tokens=12)
    replies = run_sample(output, list(QUESTIONS), greedy, chat=True, device="cpu", sink=io.StringIO())
    assert replies == list(QUESTIONS.values())  # stops by itself: the end of a turn was learned
    sink = io.StringIO()
    run_chat(output, greedy, device="cpu", source=io.StringIO("two\n/reset\none\n/quit\nthree\n"), sink=sink)
    assert sink.getvalue() == "zwei\neins\n"
    found = checkpoint.read(output)
    assert found.kind == "sft"
    assert found.tokenizer_info.vocabulary_size == 263
    assert found.tokenizer_info.end_of_text_id == 256
    assert (found.path / "chat_template.jinja").is_file()
    samples = [json.loads(line) for line in (output / "samples.jsonl").read_text().splitlines()]
    assert samples[-1]["text"] == "zwei"


@pytest.mark.parametrize("vocabulary", [257, 300])
def test_new_tokens_start_from_the_mean_of_the_known(
    config: Callable[..., Path], tmp_path: Path, vocabulary: int
) -> None:
    path = config(vocabulary=vocabulary, batch={"epochs": 1, "rows": 1, "micro_batch_size": 1},
                  optimizer={"learning_rate": 0.0, "warmup_steps": 0})  # fmt: skip
    before = weights(tmp_path / "parent")["embed.weight"]
    assert sft.main([str(path)]) == 0
    after = weights(tmp_path / "out")["embed.weight"]
    assert torch.equal(after[:257], before[:257])
    for row in range(257, 263):
        assert torch.allclose(after[row], before[:257].mean(dim=0), atol=1e-6)


def test_a_run_that_was_cut_short_goes_on_to_the_same_weights(config: Callable[..., Path], tmp_path: Path) -> None:
    path = config(checkpoint={"every": 1, "keep": None})
    output = tmp_path / "out"
    assert sft.main([str(path)]) == 0
    whole, first = weights(output), losses(output)
    steps = checkpoint.list_checkpoints(output / "checkpoints")
    for step in steps[2:]:
        shutil.rmtree(step)
    assert sft.main([str(path)]) == 0
    assert all(torch.equal(value, whole[name]) for name, value in weights(output).items())
    assert losses(output) == first


def test_another_config_against_an_old_folder_is_refused(
    config: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = config()
    assert sft.main([str(path)]) == 0
    assert sft.main([str(path), "--set", "seed=5"]) == 2
    assert "seed: 17 -> 5" in capsys.readouterr().err
    assert sft.main([str(path), "--set", "run.log_every=3"]) == 0


def test_two_processes_learn_the_same(config: Callable[..., Path], tmp_path: Path) -> None:
    # Replies of unequal lengths: a mean of per-process means would differ.
    pairs = [("a", "b" * 20), ("c", "d"), ("e", "fg"), ("h", "i" * 13), ("j", "k" * 17)]
    path = config(pairs, batch={"epochs": 4, "rows": 3, "micro_batch_size": 1})
    assert sft.main([str(path)]) == 0
    alone = losses(tmp_path / "out")
    assert sft.launch(path, [f"run.output={tmp_path / 'two'}"], nproc=2) == 0
    together = losses(tmp_path / "two")
    assert len(alone) == len(together) > 3
    assert alone == pytest.approx(together, abs=5e-6)
    both = weights(tmp_path / "two")
    assert all(torch.allclose(value, both[name], atol=1e-4) for name, value in weights(tmp_path / "out").items())


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("optimizer.warmup_steps=50", "optimizer.warmup_steps: must be below the"),
        ("data.sequence_length=64", "data.sequence_length: 64 is above the model's context_length 32"),
        ("data.train=[gone.jsonl]", "gone.jsonl: cannot be read"),
        ("init_from=gone", "gone: is not there"),
        ("batch.epochs=0", "epochs: must be at least 1, got 0"),
        ("data.bad_lines=ignore", "expected one of stop, skip"),
    ],
)
def test_mistakes_are_said_with_code_2(
    config: Callable[..., Path], capsys: pytest.CaptureFixture[str], override: str, problem: str
) -> None:
    assert sft.main([str(config()), "--set", override]) == 2
    assert problem in capsys.readouterr().err
