"""Evaluate a checkpoint: bits per byte of text, and benchmarks through lm-evaluation-harness on local files.

    tokenmill eval CKPT --text OUT/tokens --tasks hellaswag,arc_easy --tasks-dir DIR --limit 200

Results go to a table and to JSON, a new file `eval/STEP-WHAT.json` unless said otherwise. No network is used.
"""

import contextlib
import dataclasses
import functools
import hashlib
import io
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipeline.contract.errors import ConfigError, InputError
from pipeline.contract.manifest import sha256_file, write_json
from training.bits_per_byte import BitsPerByte, measure
from training.chat.format import template
from training.chat.loaded_model import LoadedModel, load_model
from training.contaminated import Aggregation, Checked, split_scores
from training.eval_files import write_results
from training.eval_tasks import LocalTask, load_tasks, read_excluded

BOOTSTRAP = 1000
"""Resamples for the standard error of figures that have no formula (perplexity)."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EvalConfig:
    """What is measured."""

    text: tuple[str, ...] = ()
    """Bits per byte of each: a `tokens/` or run folder, or a .txt, .jsonl or .parquet file."""
    tasks: tuple[str, ...] = ()
    """Benchmarks by name; `all` stands for every one whose file is in `tasks_dir`."""
    tasks_dir: str | None = None
    """The folder of the benchmarks' jsonl files."""
    limit: int | None = None
    """Items of each benchmark and documents of each text, from the start. null: all."""
    fewshot: int | None = None
    """Solved examples put before each item. null: none."""
    exclude: str | None = None
    """A jsonl file of contaminated items to leave out: ids, or objects with id and perhaps task."""
    exclude_contaminated: str | None = None
    """A run folder of `build` that looked for the tasks' items (`decontaminate`): scores are also given without those
    that stand on pages it kept."""
    chat: bool = False
    """Ask in the chat format, as a user."""
    bos: bool = False
    """Put the end-of-text token before every context; the harness's own models do not."""
    batch_tokens: int = 8192
    """The most that goes through the model at a time, padding included."""
    seed: int = 1234
    """Of the choice of solved examples."""
    device: str = "auto"
    """auto, cpu or cuda."""
    output: str | None = None
    """Where the JSON goes. null: a new file beside the checkpoints, eval/STEP-WHAT.json."""

    def __post_init__(self) -> None:
        for name, least in (("limit", 1), ("fewshot", 0), ("batch_tokens", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name}: must be at least {least}, got {value}")
        if self.tasks and self.tasks_dir is None:
            raise ValueError("tasks_dir: is needed for tasks: the folder of their jsonl files")
        if self.exclude_contaminated and not self.tasks:
            raise ValueError("exclude_contaminated: is about benchmarks, and no tasks are named")
        if not self.tasks and not self.text:
            raise ValueError("tasks: nothing to measure; name tasks or text")


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
    opened = load_model(path, config.device)
    if config.chat:
        opened.format()  # refuse a base model
    texts = {name: _bits_per_byte(opened, name, config) for name in config.text}
    scores, truncated = run_tasks(opened, tasks, config) if tasks else ({}, 0)
    results = {
        **_about(opened, config),
        "bits_per_byte": {name: dataclasses.asdict(found) for name, found in texts.items()},
        "tasks": scores,
        "truncated_requests": truncated,
    }
    output = _write(results, opened.checkpoint.path.resolve(), config)
    console.print(table(results))
    for line in _contamination_notes(results["tasks"]):
        console.print(line)
    if truncated:
        context = opened.model.config.context_length
        console.print(f"{truncated:,} requests were longer than the model's context of {context} and lost their start")
    console.print(f"written to {output}")
    return results


def _contamination_notes(tasks: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, scores in tasks.items():
        if "clean" in scores:
            yield (
                f"{name}: of {scores['items']:,} items {scores['contaminated']['items']:,} on pages that were kept; "
                f"{scores['unchecked']:,} could not be looked for and counted as clean"
            )


def _tasks(config: EvalConfig) -> list[LocalTask]:
    if not config.tasks or config.tasks_dir is None:
        return []
    folder = Path(config.tasks_dir)
    if not folder.is_dir():
        raise InputError(str(folder), "is no folder; it should hold the benchmarks' jsonl files")
    excluded = read_excluded(Path(config.exclude)) if config.exclude else frozenset()
    checked = Checked(Path(config.exclude_contaminated)) if config.exclude_contaminated else None
    tasks = load_tasks(config.tasks, folder, excluded, checked)
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


def _about(opened: LoadedModel, config: EvalConfig) -> dict[str, Any]:
    checkpoint = opened.checkpoint
    return {
        "checkpoint": str(checkpoint.path),
        "step": checkpoint.progress.step,
        "tokenizer_sha256": sha256_file(checkpoint.tokenizer_path),
        "before_a_context": "end-of-text" if config.bos or config.chat else "nothing",
        "chat_template_sha256": hashlib.sha256(template().encode()).hexdigest() if config.chat else None,
        "settings": dataclasses.asdict(config),
    }


def _bits_per_byte(opened: LoadedModel, name: str, config: EvalConfig) -> BitsPerByte:
    with _progress(f"bits per byte of {name}", None) as advance:
        return measure(
            opened.model, opened.vocabulary, Path(name),
            limit=config.limit, batch_tokens=config.batch_tokens, progress=advance,
        )  # fmt: skip


def run_tasks(
    opened: LoadedModel, tasks: Sequence[LocalTask], config: EvalConfig
) -> tuple[dict[str, dict[str, Any]], int]:
    """Scores of each task: `acc`, `acc_stderr`, `acc_norm` and so on; items scored and excluded; chance.

    Where contaminated items are known, also `clean` and `contaminated` scores (see `contaminated.split_scores`).

    Returns:
        The scores by task, and how many requests were longer than the model's context.

    Raises:
        InputError: lm-evaluation-harness is not installed; an item lacks a field that its task's prompt has.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("DISABLE_MULTIPROC", "1")  # its bootstrap would start a process on every core
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    try:
        import jinja2
        import lm_eval.evaluator
        from lm_eval.api import metrics
        from lm_eval.api.group import AggMetricConfig, Group
        from lm_eval.api.task import ConfigurableTask
        from lm_eval.tasks import TaskManager

        from training.lm_adapter import AdapterOptions, TokenmillLM
    except ImportError as error:
        raise InputError("tasks", f"cannot be run: {error}", hint="pip install 'tokenmill[eval]'") from error

    aggregations: dict[str, Mapping[str, Aggregation]] = {}

    def build(task: LocalTask) -> Any:
        parts = [ConfigurableTask(config=dict(part)) for part in task.configs]
        aggregations[task.name] = parts[0].aggregation()
        if len(parts) == 1:
            return parts[0]
        names = [metric["metric"] for metric in task.configs[0]["metric_list"]]
        group = Group(task.name, aggregate_metric_list=[AggMetricConfig(metric=name) for name in names])
        for part in parts:
            group.add(part)
        return group

    with _progress("benchmarks", None) as advance, _quiet(), _without_git(lm_eval.evaluator):
        options = AdapterOptions(bos=config.bos, batch_tokens=config.batch_tokens)
        adapter = TokenmillLM(opened.model, opened.vocabulary, options, advance)
        try:
            found = lm_eval.simple_evaluate(
                model=adapter,
                tasks=[build(task) for task in tasks],
                num_fewshot=config.fewshot,
                limit=config.limit,
                bootstrap_iters=BOOTSTRAP,
                log_samples=config.exclude_contaminated is not None,
                apply_chat_template=config.chat,
                task_manager=TaskManager(include_defaults=False),
                fewshot_random_seed=config.seed,
            )
        except jinja2.UndefinedError as error:
            raise InputError("tasks", f"an item lacks a field that its task's prompt has: {error}") from error
        scores = {task.name: _scores(task, found) for task in tasks}
        # The harness resamples from a seed of its own: the same answers have the same standard errors.
        stderr = functools.partial(metrics.stderr_for_metric, bootstrap_iters=BOOTSTRAP)
        for task in tasks if config.exclude_contaminated else ():
            samples = {part: found["samples"][part] for part in task.states}
            scores[task.name] |= split_scores(task.states, samples, aggregations[task.name], stderr)
    return scores, adapter.truncated


def _scores(task: LocalTask, found: Any) -> dict[str, Any]:
    """The harness's `metric,filter` keys as `metric` or, for other filters than none, `metric/filter`."""
    scores: dict[str, Any] = {}
    for key, value in found["results"][task.name].items():
        metric, comma, name = key.partition(",")
        if comma and isinstance(value, (int, float)):
            scores[metric if name == "none" else f"{metric}/{name}"] = value
    names = [part["task"] for part in task.configs]
    return {
        **scores,
        "items": sum(found["n-samples"][name]["effective"] for name in names),
        "excluded": task.excluded,
        "fewshot": found["n-shot"][names[0]],
        "chance": task.chance,
        "version": str(found["versions"].get(names[0])),
        "harness": found.get("lm_eval_version"),
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The harness prints progress bars of its own, whatever it is told."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


@contextlib.contextmanager
def _without_git(evaluator: Any) -> Iterator[None]:
    """The harness asks git which commit the current folder is at, which no one reads; outside a repository, and with
    folders of other owners, git complains on the terminal."""
    ask, evaluator.get_git_commit_hash = evaluator.get_git_commit_hash, lambda: None
    try:
        yield
    finally:
        evaluator.get_git_commit_hash = ask


@contextlib.contextmanager
def _progress(name: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A counter on a terminal, nothing elsewhere."""
    console = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=total)
        yield lambda count: progress.advance(task, count)


def table(results: dict[str, Any]) -> Table:
    """The results as a table; of benchmarks with known contamination, full and clean scores side by side."""
    drawn = Table(
        title=f"{results['checkpoint']} (step {results['step']})", title_justify="left", show_edge=False, pad_edge=False
    )
    split = any("clean" in scores for scores in results["tasks"].values())
    for name in ("measure", "metric"):
        drawn.add_column(name, overflow="fold", min_width=9)
    for name in ("value", "chance", "items", *(("clean value", "items") if split else ())):
        drawn.add_column(name, justify="right", no_wrap=True)
    for name, found in results["bits_per_byte"].items():
        drawn.add_row(name, "bits/byte", f"{found['bits_per_byte']:.4f}", "", f"{found['documents']:,}")
    for name, scores in results["tasks"].items():
        chance = {} if scores["chance"] is None else {"acc": f"{scores['chance']:.2f}"}
        for metric, value in scores.items():
            if isinstance(value, float) and metric != "chance" and "_stderr" not in metric:
                cells = [name, metric, _value(scores, metric), chance.get(metric[:3], ""), f"{scores['items']:,}"]
                clean = scores.get("clean")
                drawn.add_row(*cells, *((_value(clean, metric), f"{clean['items']:,}") if clean else ()))
    return drawn


def _value(scores: dict[str, Any], metric: str) -> str:
    """A score with its standard error, where it has one."""
    value, error = scores.get(metric), _stderr(scores, metric)
    return "" if value is None else f"{value:.4f}" if error is None else f"{value:.3f} ± {error:.3f}"


def _stderr(scores: dict[str, Any], metric: str) -> float | None:
    base, slash, name = metric.partition("/")
    error: float | None = scores.get(f"{base}_stderr{slash}{name}")
    return error
