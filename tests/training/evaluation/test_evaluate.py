"""From a checkpoint to a table and a file."""

import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.contract.errors import ConfigError, InputError
from training.evaluation.config import EvalConfig
from training.evaluation.evaluate import run_eval
from training.model.transformer import Transformer

Build = Callable[..., Transformer]


def write(path: Path, *items: object) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


def test_an_evaluation_from_checkpoint_to_table(
    random_model: Build, save_parent: Callable[[Transformer], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    pytest.importorskip("lm_eval")
    monkeypatch.chdir(tmp_path)  # not in a git repository, which the harness's git would complain about
    run = save_parent(random_model(vocab_size=257))
    items = [{"id": str(n), "query": f"{n} + 1 =", "choices": [str(n + 1), "no"], "label": 0} for n in range(6)]
    subjects = [{**item, "choices": ["a", "b", "c", "d"], "subject": f"s{n % 2}"} for n, item in enumerate(items)]
    folder = tmp_path / "tasks"
    folder.mkdir()
    write(folder / "arc_easy.jsonl", *items)
    write(folder / "mmlu.jsonl", *subjects)
    write(folder / "lambada.jsonl", {"id": "0", "context": "one two", "target": "three"},
          {"id": "1", "context": "four five", "target": "six"})  # fmt: skip
    (tmp_path / "text.txt").write_text("Some text.")
    excluded = write(tmp_path / "dirty.jsonl", {"task": "arc_easy", "id": "3"})
    config = EvalConfig(
        text=(str(tmp_path / "text.txt"),), tasks=("arc_easy", "mmlu", "lambada"), tasks_dir=str(folder),
        exclude=str(excluded), device="cpu",
    )  # fmt: skip
    screen = io.StringIO()
    results = run_eval(run, config, console=Console(file=screen, width=250))
    name = "step-00000003-text-arc_easy-mmlu-lambada"
    assert json.loads((run / "eval" / f"{name}.json").read_text()) == json.loads(json.dumps(results))
    assert f"written to {run.resolve() / 'eval' / name}.json" in " ".join(screen.getvalue().split())
    assert "git" not in "".join(capfd.readouterr())
    easy = results["tasks"]["arc_easy"]
    assert (easy["items"], easy["excluded"], easy["fewshot"], easy["chance"]) == (5, 1, 0, 0.5)
    assert easy["acc_stderr"] == pytest.approx(math.sqrt(easy["acc"] * (1 - easy["acc"]) / 4))
    assert results["tasks"]["mmlu"]["items"] == 6
    assert results["tasks"]["lambada"]["perplexity"] > 1
    assert results["bits_per_byte"][str(tmp_path / "text.txt")]["bytes"] == 10
    assert results["truncated_requests"] == 24  # the six items of mmlu with its four choices, in a context of 48
    for shown in ("arc_easy", "acc_norm", "bits/byte", "perplexity", "0.50"):
        assert shown in screen.getvalue()
    again = run_eval(run, config, console=Console(quiet=True))
    assert again == results
    assert sorted(path.name for path in (run / "eval").iterdir()) == ["latest.json", f"{name}-2.json", f"{name}.json"]
    assert (run / "eval" / "latest.json").resolve().name == f"{name}-2.json"


def test_more_examples_than_there_are_is_said(tmp_path: Path) -> None:
    write(tmp_path / "piqa.jsonl", *[{"query": str(n), "choices": ["b", "c"], "label": 0} for n in range(3)])
    config = EvalConfig(tasks=("piqa",), tasks_dir=str(tmp_path), fewshot=3)
    with pytest.raises(ConfigError, match="fewshot: task 'piqa' has 2 examples, got 3"):
        run_eval(tmp_path, config)


def test_chat_needs_a_model_that_was_taught_it(
    random_model: Build, save_parent: Callable[[Transformer], Path], tmp_path: Path
) -> None:
    run = save_parent(random_model(vocab_size=257))
    write(tmp_path / "piqa.jsonl", {"query": "a", "choices": ["b", "c"], "label": 0})
    with pytest.raises(InputError, match="was not taught the chat format"):
        run_eval(run, EvalConfig(tasks=("piqa",), tasks_dir=str(tmp_path), chat=True, device="cpu"))
