"""Scoring benchmark items: CPU time of our adapter beside lm-evaluation-harness's own HFLM, same model, same requests.

    python tests/benchmarks/evaluation.py --tasks-dir DIR [--tasks hellaswag,mmlu] [--items 40] [--rounds 3] [--json]

The model has random weights and GPT-2's vocabulary size; it is exported, loaded with transformers, and both sides run
in this process on one thread, in turns. Seconds are CPU seconds of the fastest round. HFLM's batch size is the number
of requests of full length that ours puts through at a time. Largest difference is that of a log probability.
"""

import argparse
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM
from tokenizers import Tokenizer

from training.chat.vocabulary import Vocabulary
from training.config import ModelConfig
from training.evaluation.lm_adapter import AdapterOptions, TokenmillLM
from training.evaluation.local_tasks import load_task
from training.model.initialization import new_model
from training.tools.export import write_hf

SHAPE = ModelConfig(num_layers=6, hidden_size=256, num_heads=8, context_length=512, vocab_size=50_257)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks-dir", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, help="GPT-2's tokenizer.json; beside the tasks where not given")
    parser.add_argument("--tasks", default="hellaswag,arc_easy,mmlu,winogrande")
    parser.add_argument("--items", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = options.tokenizer or options.tasks_dir.parent / "tokenizer" / "gpt2-tokenizer.json"
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = models(Tokenizer.from_file(str(tokenizer)), Path(folder) / "hf")
        rows = [
            compare(name, requests(options.tasks_dir, name, options.items), ours, theirs, options.rounds)
            for name in options.tasks.split(",")
        ]
    for row in rows:
        print("{task:12} {requests:5} requests  ours {ours:6.2f} s  HFLM {theirs:6.2f} s  ratio {ratio:4.1f}  "
              "largest difference {difference:.1e}".format(**row))  # fmt: skip
    if options.json:
        print(json.dumps({"tasks": rows, "torch": torch.__version__}))


def models(tokenizer: Tokenizer, folder: Path) -> tuple[TokenmillLM, HFLM]:
    """The same weights on both sides."""
    model = new_model(SHAPE, seed=1).eval().requires_grad_(False)
    vocabulary = Vocabulary(tokenizer=tokenizer, end_of_text_id=SHAPE.known_vocab_size - 1)
    write_hf(model, vocabulary, folder)
    ours = TokenmillLM(model, vocabulary, AdapterOptions(batch_tokens=4096))
    with quiet():
        theirs = HFLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=ours.batch_size)
    return ours, theirs


def requests(folder: Path, name: str, items: int) -> list[Instance]:
    """What a task asks about its first items (of each subject, where it has several, until there are enough)."""
    found: list[Instance] = []
    for config in load_task(name, folder).configs:
        with quiet():
            task = ConfigurableTask(config=dict(config))
            task.set_config("num_fewshot", 0)
            task.build_all_requests(limit=items, rank=0, world_size=1)
        found += task.instances
        if len({(config["task"], one.doc_id) for one in found}) >= items or len(found) > 8 * items:
            break
    return found


def compare(name: str, asked: Sequence[Instance], ours: Any, theirs: Any, rounds: int) -> dict[str, Any]:
    best = {"ours": float("inf"), "theirs": float("inf")}
    answers: dict[str, list[tuple[float, bool]]] = {}
    for _ in range(rounds):
        for side, model in (("ours", ours), ("theirs", theirs)):
            answers[side], seconds = timed(lambda model=model: model.loglikelihood(list(asked), disable_tqdm=True))
            best[side] = min(best[side], seconds)
    difference = max(abs(a - b) for (a, _), (b, _) in zip(answers["ours"], answers["theirs"], strict=True))
    ratio = best["theirs"] / best["ours"]
    return {"task": name, "requests": len(asked), **best, "ratio": ratio, "difference": difference}


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    with quiet():
        start = time.process_time()
        found = work()
        return found, time.process_time() - start


def quiet() -> Any:
    """The harness talks on both streams."""
    stack = ExitStack()
    stack.enter_context(redirect_stdout(io.StringIO()))
    stack.enter_context(redirect_stderr(io.StringIO()))
    return stack


if __name__ == "__main__":
    main()
