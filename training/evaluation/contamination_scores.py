"""Scores without the benchmark items that a model may have read, beside those over all items.

`tokenmill eval CKPT --exclude-contaminated OUT` takes from the run folder OUT which items stand on pages that its model
was trained on (OUT/contamination, written by a build with the stage `decontaminate`). Every item is scored once; the
figures of the clean ones are put together from the same answers.

Clean and full scores side by side are how Brown et al. 2020 (arXiv:2005.14165, appendix C) report contamination.
"""

import collections
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.contract.contamination import Contamination, State, read_contamination
from pipeline.contract.errors import InputError
from pipeline.contract.manifest import sha256_file

Aggregation = Callable[[Sequence[Any]], float]


class ContaminationRecord:
    """What the run folder `out` knows of benchmark items.

    Raises:
        InputError: `out` is no finished run, or looked for no benchmarks.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self._found: Contamination = read_contamination(out)

    def states(self, task: str, path: Path, names: Sequence[str]) -> list[State]:
        """The state of each item of a task.

        Args:
            task: its name.
            path: of its file of items.
            names: the items' ids, or line numbers.

        Raises:
            InputError: the run did not look for the items of this file, or looked for those of another of its name.
        """
        known = sorted({benchmark for benchmark, _ in self._found.states})
        place, hint = f"task '{task}'", f"build with `decontaminate: {{benchmarks: [{path}]}}`, or leave the task out"
        if path.name not in known:
            raise InputError(place, f"{self.out} did not look for the items of {path.name}", known=known, hint=hint)
        sha256 = self._found.files.get(path.name)
        if sha256 is not None and sha256 != sha256_file(path):
            raise InputError(place, f"{self.out} looked for the items of another {path.name} (its sha256 differs)",
                             hint=hint)  # fmt: skip
        return [self._found.states.get((path.name, name), "unchecked") for name in names]


def split_scores(
    states: Mapping[str, Sequence[State]],
    samples: Mapping[str, Sequence[Mapping[str, Any]]],
    aggregations: Mapping[str, Aggregation],
    stderr: Callable[[Aggregation], Aggregation | None],
) -> dict[str, Any]:
    """Metrics without the contaminated items (`clean`) and of those alone; how many could not be looked for.

    Args:
        states: part of the task -> state of each of its items, in their order.
        samples: part of the task -> what lm-evaluation-harness logged of each item: `doc_id`, `filter`, metrics.
        aggregations: metric -> how its values become one figure.
        stderr: from an aggregation to its standard error, or None where there is none.
    """
    values: dict[bool, dict[tuple[str, str], list[Any]]] = {True: {}, False: {}}
    items: collections.Counter[State] = collections.Counter()
    for part, logged in samples.items():
        seen: set[int] = set()
        for sample in logged:
            state = states[part][sample["doc_id"]]
            if sample["doc_id"] not in seen:
                items[state] += 1
                seen.add(sample["doc_id"])
            for metric in sample["metrics"]:
                kept = values[state != "contaminated"]
                kept.setdefault((metric, sample["filter"]), []).append(sample[metric])
    return {
        "clean": {**_metrics(values[True], aggregations, stderr), "items": items["clean"] + items["unchecked"]},
        "contaminated": {**_metrics(values[False], aggregations, stderr), "items": items["contaminated"]},
        "unchecked": items["unchecked"],
    }


def _metrics(
    values: Mapping[tuple[str, str], Sequence[Any]],
    aggregations: Mapping[str, Aggregation],
    stderr: Callable[[Aggregation], Aggregation | None],
) -> dict[str, float]:
    """Named as in the scores over all items: `metric`, or `metric/filter` for other filters than none."""
    found: dict[str, float] = {}
    for (metric, name), many in values.items():
        suffix = "" if name == "none" else f"/{name}"
        aggregate = aggregations[metric]
        found[f"{metric}{suffix}"] = float(aggregate(many))
        error = stderr(aggregate) if len(many) > 1 else None
        if error:
            found[f"{metric}_stderr{suffix}"] = float(error(many))
    return found
