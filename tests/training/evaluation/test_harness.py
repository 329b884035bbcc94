"""What is said of requests and items that do not fit."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.contract.errors import InputError
from training.evaluation.config import EvalConfig
from training.evaluation.evaluate import run_eval
from training.model.transformer import Transformer

Build = Callable[..., Transformer]


def write(path: Path, *items: object) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


def test_contexts_that_do_not_fit_are_counted(
    random_model: Build, save_parent: Callable[[Transformer], Path], tmp_path: Path
) -> None:
    pytest.importorskip("lm_eval")
    run = save_parent(random_model(vocab_size=257))
    fits = 48 + 1 - len("Question: \nAnswer:") - len(" bb")
    rows = [{"query": "a" * length, "choices": ["bb", "cc"], "label": 0} for length in (fits, fits + 1)]
    write(tmp_path / "piqa.jsonl", *rows)
    screen = io.StringIO()
    config = EvalConfig(tasks=("piqa",), tasks_dir=str(tmp_path), device="cpu")
    assert run_eval(run, config, console=Console(file=screen, width=120))["truncated_requests"] == 2
    assert "2 requests were longer than the model's context of 48" in screen.getvalue()


def test_an_item_without_a_field_of_the_prompt_is_said(
    random_model: Build, save_parent: Callable[[Transformer], Path], tmp_path: Path
) -> None:
    pytest.importorskip("lm_eval")
    run = save_parent(random_model(vocab_size=257))
    write(tmp_path / "copa.jsonl", {"query": "It rained.", "choices": ["A.", "B."], "label": 0})
    with pytest.raises(InputError, match="tasks: an item lacks a field that its task's prompt has: 'raw' is undefined"):
        run_eval(run, EvalConfig(tasks=("copa",), tasks_dir=str(tmp_path), device="cpu"))
