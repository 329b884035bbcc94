"""Each evaluation has a file of its own."""

import json
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from training.evaluation.config import EvalConfig
from training.evaluation.evaluate import run_eval
from training.model.transformer import Transformer

Build = Callable[..., Transformer]


def write(path: Path, *items: object) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


def test_evaluations_of_one_checkpoint_all_stay(
    random_model: Build, save_parent: Callable[[Transformer], Path], tmp_path: Path
) -> None:
    run = save_parent(random_model(vocab_size=257))
    texts = [str(write(tmp_path / f"{name}.jsonl", {"text": name})) for name in ("a b", "c", "d" * 200)]
    for text in ((texts[0],), (texts[1],), (texts[0], texts[1]), (texts[2],), (texts[0],)):
        run_eval(run, EvalConfig(text=text, device="cpu"), console=Console(quiet=True))
    names = ["a_b", "a_b-2", "a_b-c", "c", "d" * 80]
    written = sorted(path.name for path in (run / "eval").glob("step-*.json"))
    assert written == sorted(f"step-00000003-{name}.json" for name in names)
    latest = json.loads((run / "eval" / "latest.json").read_text())
    assert list(latest["bits_per_byte"]) == [texts[0]]
    own = EvalConfig(text=(texts[1],), device="cpu", output=str(tmp_path / "own.json"))
    run_eval(run, own, console=Console(quiet=True))
    assert (tmp_path / "own.json").exists()
    assert len(list((run / "eval").iterdir())) == len(names) + 1
