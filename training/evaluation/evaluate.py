"""Evaluate a checkpoint: bits per byte of text, and benchmarks through lm-evaluation-harness on local files.

    tokenmill eval CKPT --text OUT/tokens --tasks hellaswag,arc_easy --tasks-dir DIR --limit 200

Results go to a table and to JSON, a new file `eval/STEP-WHAT.json` unless said otherwise. No network is used.
"""

import contextlib
import dataclasses
import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pipeline.contract.errors import ConfigError, InputError
from pipeline.contract.manifest import sha256_file, write_json
from training.chat.format import template
from training.chat.loaded_model import LoadedModel, load_model
from training.evaluation.bits_per_byte import BitsPerByte, measure
from training.evaluation.config import EvalConfig
from training.evaluation.contamination_scores import ContaminationRecord
from training.evaluation.harness import run_tasks
from training.evaluation.local_tasks import LocalTask, load_tasks, read_excluded
from training.evaluation.result_files import write_results
from training.evaluation.result_table import contamination_notes, result_table


def run_eval(path: str | Path, config: EvalConfig, *, console: Console | None = None) -> dict[str, Any]:
    """Evaluate a checkpoint, print a table, write the JSON.

    Returns:
        The results, as in the JSON.

    Raises:
        InputError: a checkpoint, file or task that is not there or damaged; `chat` with a model that was not taught it.
        ConfigError: more solved examples than a task has, or a device that is not there.
    """
    console = console or Console()
    tasks = _tasks(config)
    loaded = load_model(path, config.device)
    if config.chat:
        loaded.format()  # refuse a base model
    texts = {name: _bits_per_byte(loaded, name, config) for name in config.text}
    scores, truncated = _task_scores(loaded, tasks, config)
    results = {
        **_about(loaded, config),
        "bits_per_byte": {name: dataclasses.asdict(found) for name, found in texts.items()},
        "tasks": scores,
        "truncated_requests": truncated,
    }
    output = _write(results, loaded.checkpoint.path.resolve(), config)
    console.print(result_table(results))
    for line in contamination_notes(results["tasks"]):
        console.print(line)
    if truncated:
        context = loaded.model.config.context_length
        console.print(f"{truncated:,} requests were longer than the model's context of {context} and lost their start")
    console.print(f"written to {output}")
    return results


def _tasks(config: EvalConfig) -> list[LocalTask]:
    if not config.tasks or config.tasks_dir is None:
        return []
    folder = Path(config.tasks_dir)
    if not folder.is_dir():
        raise InputError(str(folder), "is no folder; it should hold the benchmarks' jsonl files")
    excluded = read_excluded(Path(config.exclude)) if config.exclude else frozenset()
    record = ContaminationRecord(Path(config.exclude_contaminated)) if config.exclude_contaminated else None
    tasks = load_tasks(config.tasks, folder, excluded, record)
    for task in tasks:
        if (config.fewshot or 0) > task.examples:
            raise ConfigError("fewshot", f"task '{task.name}' has {task.examples} examples, got {config.fewshot}")
    return tasks


def _write(results: dict[str, Any], checkpoint: Path, config: EvalConfig) -> Path:
    if config.output is None:
        return write_results(results, checkpoint.parent.parent / "eval", checkpoint.name, config.text, config.tasks)
    output = Path(config.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_json(output, results)
    return output


def _about(loaded: LoadedModel, config: EvalConfig) -> dict[str, Any]:
    checkpoint = loaded.checkpoint
    return {
        "checkpoint": str(checkpoint.path),
        "step": checkpoint.progress.step,
        "tokenizer_sha256": sha256_file(checkpoint.tokenizer_path),
        "before_a_context": "end-of-text" if config.bos or config.chat else "nothing",
        "chat_template_sha256": hashlib.sha256(template().encode()).hexdigest() if config.chat else None,
        "settings": dataclasses.asdict(config),
    }


def _bits_per_byte(loaded: LoadedModel, name: str, config: EvalConfig) -> BitsPerByte:
    with _progress(f"bits per byte of {name}", None) as advance:
        return measure(
            loaded.model, loaded.vocabulary, Path(name),
            limit=config.limit, batch_tokens=config.batch_tokens, progress=advance,
        )  # fmt: skip


def _task_scores(
    loaded: LoadedModel, tasks: Sequence[LocalTask], config: EvalConfig
) -> tuple[dict[str, dict[str, Any]], int]:
    """See `run_tasks`."""
    if not tasks:
        return {}, 0
    with _progress("benchmarks", None) as advance:
        return run_tasks(loaded, tasks, config, advance)


@contextlib.contextmanager
def _progress(name: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A counter on a terminal, nothing elsewhere."""
    console = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=total)
        yield lambda count: progress.advance(task, count)
