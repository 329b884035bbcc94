"""Benchmarks under lm-evaluation-harness: what is asked of it, and its scores under our names."""

import contextlib
import functools
import io
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pipeline.contract.errors import InputError
from training.chat.loaded_model import LoadedModel
from training.evaluation.config import EvalConfig
from training.evaluation.contamination_scores import split_scores
from training.evaluation.local_tasks import LocalTask

BOOTSTRAP = 1000
"""Resamples for the standard error of figures that have no formula (perplexity)."""


def run_tasks(
    loaded: LoadedModel, tasks: Sequence[LocalTask], config: EvalConfig, progress: Callable[[int], None]
) -> tuple[dict[str, dict[str, Any]], int]:
    """Scores of each task: `acc`, `acc_stderr`, `acc_norm` and so on; items scored and excluded; chance.

    Where contaminated items are known, also `clean` and `contaminated` scores (see `split_scores`).

    Args:
        progress: told how many more requests are done.

    Returns:
        The scores by task, and how many requests were longer than the model's context.

    Raises:
        InputError: lm-evaluation-harness is not installed; an item lacks a field that its task's prompt has.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("DISABLE_MULTIPROC", "1")  # its bootstrap would start a process on every core
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    try:
        from training.evaluation.lm_adapter import AdapterOptions, TokenmillLM
    except ImportError as error:
        raise InputError("tasks", f"cannot be run: {error}", hint="pip install 'tokenmill[eval]'") from error

    options = AdapterOptions(bos=config.bos, batch_tokens=config.batch_tokens)
    adapter = TokenmillLM(loaded.model, loaded.vocabulary, options, progress)
    with _quiet():
        found = _simple_evaluate(adapter, tasks, config)
        scores = {task.name: _scores(task, found) for task in tasks}
        if config.exclude_contaminated is not None:
            for task in tasks:
                scores[task.name] |= _scores_by_contamination(task, found)
    return scores, adapter.truncated


def _simple_evaluate(adapter: Any, tasks: Sequence[LocalTask], config: EvalConfig) -> Any:
    """The harness's own results."""
    import jinja2
    import lm_eval.evaluator
    from lm_eval.tasks import TaskManager

    with _without_git(lm_eval.evaluator):
        try:
            return lm_eval.simple_evaluate(
                model=adapter,
                tasks=[_harness_task(task) for task in tasks],
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


def _harness_task(task: LocalTask) -> Any:
    """The harness's object for a task; a group where several of its tasks make one score."""
    from lm_eval.api.group import AggMetricConfig, Group
    from lm_eval.api.task import ConfigurableTask

    parts = [ConfigurableTask(config=dict(part)) for part in task.configs]
    if len(parts) == 1:
        return parts[0]
    names = [metric["metric"] for metric in task.configs[0]["metric_list"]]
    group = Group(task.name, aggregate_metric_list=[AggMetricConfig(metric=name) for name in names])
    for part in parts:
        group.add(part)
    return group


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


def _scores_by_contamination(task: LocalTask, found: Any) -> dict[str, Any]:
    from lm_eval.api import metrics
    from lm_eval.api.task import ConfigurableTask

    aggregations: Mapping[str, Any] = ConfigurableTask(config=dict(task.configs[0])).aggregation()
    # The harness resamples from a seed of its own: the same answers have the same standard errors.
    stderr = functools.partial(metrics.stderr_for_metric, bootstrap_iters=BOOTSTRAP)
    samples = {part: found["samples"][part] for part in task.states}
    return split_scores(task.states, samples, aggregations, stderr)


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
