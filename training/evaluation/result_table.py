"""The results of an evaluation as a table."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table


def contamination_notes(tasks: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A line for each benchmark with known contamination: how many items it concerns."""
    for name, scores in tasks.items():
        if "clean" in scores:
            yield (
                f"{name}: of {scores['items']:,} items {scores['contaminated']['items']:,} on pages that were kept; "
                f"{scores['unchecked']:,} could not be looked for and counted as clean"
            )


def result_table(results: dict[str, Any]) -> Table:
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
