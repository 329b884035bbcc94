"""`tokenmill forecast`: what a build will cost, before it is run."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pipeline.cli.console import Stages, console
from pipeline.contract.errors import UserError

if TYPE_CHECKING:
    from pipeline.tools.forecast import Forecast, Range


def add_forecast_command(app: typer.Typer) -> None:
    """Hang `forecast` on the command line."""
    app.command("forecast")(forecast)


def forecast(
    config: Annotated[Path, typer.Argument(help="A file of configs/pipeline/.", metavar="CONFIG", show_default=False)],
    inputs: Annotated[list[str], typer.Option("--input", metavar="GLOB", help="What to read.")] = [],
    output: Annotated[
        str | None,
        typer.Option("--output", metavar="OUT", help="Keep the forecast for this run folder: its build compares."),
    ] = None,
    overrides: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change one value.")] = [],
    stages: Stages = None,
    records: Annotated[int, typer.Option(min=1, help="Records to sample, about.")] = 2000,
    workers: Annotated[int | None, typer.Option(min=1, help="Of the cluster; else run.workers, or 1.")] = None,
    seed: Annotated[int, typer.Option(help="Of the sample.")] = 0,
    dollars_per_core_hour: Annotated[
        float | None, typer.Option(min=0, help="What an hour of one core costs; else 0.04, AWS on demand in 2026.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Core-hours, disk, memory and hours of a build, from a sample of its input that is really built."""
    from pipeline.config import load_config
    from pipeline.tools import forecast as maker

    loaded = load_config(config, overrides=overrides, inputs=inputs, output=output, stages=stages)
    if output and Path(output).exists() and not Path(output).is_dir():
        raise UserError(output, "is a file", hint="give a run folder, or a folder that does not exist yet")
    dollars = maker.DOLLARS_PER_CORE_HOUR if dollars_per_core_hour is None else dollars_per_core_hour
    if not math.isfinite(dollars):
        raise UserError("--dollars-per-core-hour", f"must be a finite number, got {dollars}")
    made = maker.forecast(loaded, records=records, workers=workers or loaded.run.workers or 1, seed=seed,
                          dollars_per_core_hour=dollars)  # fmt: skip
    if loaded.run.output:
        maker.save_forecast(made, Path(loaded.run.output))
    if as_json:
        typer.echo(maker.as_json(made))
    else:
        _show(made, config)


def _show(made: "Forecast", config: Path) -> None:
    out = console()
    share = made.sampled_bytes / max(made.input_bytes, 1)
    sampled = f"{made.sampled_records:,} records in {made.stretches} stretches, {share:.2%} of the bytes"
    out.print(f"{config}: {made.inputs:,} inputs of {_bytes(made.input_bytes)}; sampled {sampled}",
              highlight=False, soft_wrap=True)  # fmt: skip
    table = Table("", "forecast", "90 % between", show_edge=False, pad_edge=False)

    def line(name: str, range_: "Range", text: Callable[[float], str]) -> None:
        band = "" if range_.low is None or range_.high is None else f"{text(range_.low)} to {text(range_.high)}"
        table.add_row(name, text(range_.estimate), band)

    line("records", made.records, _count)
    line("documents kept, at most", made.kept, _count)
    line("tokens, at most", made.tokens, _count)
    line("CPU time, one core", made.core_hours, _hours)
    for step, hours in made.core_hours_by_step.items():
        table.add_row(f"  {step}", _hours(hours), "", style="dim")
    line("disk for OUT", made.disk_bytes, _bytes)
    line("disk for OUT/steps", made.steps_bytes, _bytes)
    table.add_row("memory of a worker", _bytes(made.worker_memory), "")
    table.add_row("memory to join duplicates", _bytes(made.components_memory), "")
    line(f"wall clock, {_workers(made.workers)}", made.hours, _hours)
    line(f"cost at ${made.dollars_per_core_hour:g} a core-hour", made.dollars, _dollars)
    line(f"  {_workers(made.workers)}, begin to end", made.dollars_booked, _dollars)
    out.print(table)
    for note in _bounds(made):
        out.print(note, highlight=False, soft_wrap=True)
    out.print("Duplicates grow with the corpus: a sample shows few of them. CPU time is this machine's.", style="dim",
              highlight=False, soft_wrap=True)  # fmt: skip


def show_comparison(out: Path, record: "object") -> None:
    """Print what was forecast beside what came, where a forecast was made for this run."""
    from pipeline.contract.run import RunRecord
    from pipeline.tools.forecast import compare

    assert isinstance(record, RunRecord)
    lines = compare(out, record)
    if not lines:
        return
    texts = {"core_hours": _hours, "disk_bytes": _bytes}
    table = Table("", "forecast", "came", "in the 90 % band", show_edge=False, pad_edge=False)
    for one in lines:
        text = texts.get(one.name, _count)
        verdict = {True: "yes", False: "no", None: ""}[one.within]
        table.add_row(one.name.replace("_", " "), text(one.forecast.estimate), text(one.actual), verdict)
    console().print(table)


def _bounds(made: "Forecast") -> list[str]:
    """What keeps the work from being spread over more workers; empty where nothing does."""
    if made.hours.estimate <= 1.05 * made.core_hours.estimate / made.workers:
        return []
    notes = [f"{made.tasks:,} tasks: at most {_workers(made.tasks)} have work"] if made.workers > made.tasks else []
    return [*notes, f"A step is over no sooner than its longest task, of {_hours(made.longest_task_hours)}."]


def _workers(number: int) -> str:
    return f"{number:,} worker{'s' if number != 1 else ''}"


def _dollars(number: float) -> str:
    if number >= 0.1 or number == 0:
        return f"${number:,.2f}"
    return "$" + f"{float(f'{number:.2g}'):.10f}".rstrip("0")


def _count(number: float) -> str:
    return f"{number:,.0f}"


def _hours(number: float) -> str:
    return (
        f"{number:,.1f} h"
        if number >= 1
        else f"{number * 60:.1f} min"
        if number >= 1 / 60
        else f"{number * 3600:.1f} s"
    )


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if abs(number) < 1000:
            return f"{number:,.0f} {unit}" if unit == "B" else f"{number:,.1f} {unit}"
        number /= 1000
    return f"{number:,.1f} TB"
