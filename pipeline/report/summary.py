"""The table that a build ends with."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline.contract.run import RunRecord
from pipeline.report.status import RunStatus, StepStatus

_MAX_REASONS = 25


def print_summary(record: RunRecord, out: Path, console: Console) -> None:
    """Print what a run read, kept and dropped, for which reasons, and where to look."""
    totals = record.totals
    table = Table(title=f"{out} ({record.state})", title_justify="left", show_edge=False, pad_edge=False)
    table.add_column("outcome")
    table.add_column("documents", justify="right")
    table.add_column("of read", justify="right")

    def line(name: str, number: int, style: str = "") -> None:
        table.add_row(name, f"{number:,}", f"{number / max(totals.read, 1):.1%}", style=style)

    table.add_row("records", f"{totals.records:,}", "")
    line("read (candidates)", totals.read)
    reasons = sorted(totals.dropped.items(), key=lambda item: (-item[1], item[0]))
    for reason, number in reasons[:_MAX_REASONS]:
        line(f"  {reason}", number, "dim")
    if len(reasons) > _MAX_REASONS:
        rest = reasons[_MAX_REASONS:]
        line(f"  {len(rest)} more reasons", sum(number for _, number in rest), "dim")
    line("dropped", sum(totals.dropped.values()))
    line("quarantined", totals.quarantined, "yellow" if totals.quarantined else "")
    line("kept", totals.kept, "bold green")
    for cause, number in totals.gaps.items():
        table.add_row(f"gaps in the input: {cause}", f"{number:,}", "", style="yellow")
    console.print(table)
    console.print(f"[bold]{totals.tokens:,} tokens[/] in {out / 'tokens'}", highlight=False)
    if totals.repeats:
        written = totals.kept + totals.repeats
        console.print(f"{written:,} documents written to it, of which {totals.repeats:,} repeats", highlight=False)
    console.print(f"report: {out / 'report.html'}", highlight=False)


def print_steps(status: RunStatus, console: Console) -> None:
    """Print what each step has committed, how fast it goes, what is left, and what a resumed run does again."""
    table = Table("step", "tasks", "counted", "CPU", "tasks/h", "left", show_edge=False, pad_edge=False)
    for step in status.steps:
        tasks = str(step.committed) if step.tasks is None else f"{step.committed:,}/{step.tasks:,}"
        rate = "" if step.tasks_per_hour is None else f"{step.tasks_per_hour:,.0f}"
        table.add_row(step.name, tasks, _counted(step), _duration(step.cpu_seconds), rate,
                      "" if not step.seconds_left else _duration(step.seconds_left))  # fmt: skip
    console.print(table)
    lost = {step.name: step.lost for step in status.steps if step.lost}
    if lost:
        named = ", ".join(f"{number:,} of {name}" for name, number in lost.items())
        console.print(f"files of committed tasks are missing; the next build does them again: {named}", style="yellow")
    if status.state in ("stopped", "failed"):
        console.print("the same `tokenmill build` goes on from here: committed tasks are not done again")


def _counted(step: StepStatus) -> str:
    if step.read:
        return f"{step.read:,} read, {step.kept:,} kept"
    return ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in step.counts.items() if number)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:,.1f} s"
    return f"{seconds / 60:,.1f} min" if seconds < 3600 else f"{seconds / 3600:,.1f} h"
