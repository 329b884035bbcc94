"""The command `tokenmill sweep`."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.cli.console import console

if TYPE_CHECKING:
    from pipeline.tools.sweep import Sweep

_out = console()


def add_sweep_command(app: typer.Typer) -> None:
    """Hang `sweep` on the command line."""
    app.command("sweep")(sweep)


def sweep(
    out: Annotated[Path, typer.Argument(help="The run folder.", metavar="OUT", show_default=False)],
    grid: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="KEY=VALUES",
            help="A limit and values to try, such as filter.gopher_quality.min_words=30,50,null; for one language "
            "filter.gopher_quality.languages.de.min_words=30,50; of step 1 extract.language_id.min_score=0.5,0.8, "
            "min_scores.de=0.5,0.8 and keep=[en],[en,de]. Two of these make a grid.",
        ),
    ],
    examples: Annotated[int, typer.Option(min=0, help="Documents to show whose verdict would change.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """What other limits would keep, in documents and tokens, from the raw values that the run stored."""
    from pipeline.tools.sweep import sweep as run_sweep

    found = run_sweep(out, grid, examples=examples)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(found)))
        return
    _print(found)


def _print(found: "Sweep") -> None:
    keys = list(found.settings[0].limits)
    table = Table()
    for key in keys:  # at their full width, however narrow the terminal
        head = key.removeprefix("filter.").replace(".", "\n")
        table.add_column(escape(head), min_width=max(map(len, head.split("\n"))))
    by_language = found.prefiltered is not None
    for head in (
        "documents",
        "of those read",
        "tokens, about",
        "gained",
        "lost",
        *(["unjudged"] if by_language else []),
    ):
        table.add_column(head, justify="right")
    for setting in found.settings:
        limits = [escape(_written(setting.limits[key])) for key in keys]
        share = f"{setting.documents / max(found.entered, 1):.1%}"
        table.add_row(*limits, f"{setting.documents:,}", share, f"{setting.tokens:,}", f"{setting.gained:,}",
                      f"{setting.lost:,}", *([f"{setting.unjudged:,}"] if by_language else []),
                      style="bold" if setting.current else None)  # fmt: skip
    _out.print(table)
    for line in _notes(found):
        _out.print(line, highlight=False, markup=False, soft_wrap=True)
    for setting in found.settings:
        for flip in setting.flips:
            values = ", ".join(f"{name} {value:g}" for name, value in flip.values.items())
            values = f"{flip.language}, {values}" if by_language else values
            point = ", ".join(f"{key.rpartition('.')[2]}={_written(value)}" for key, value in setting.limits.items())
            _out.print(f"{point}: {flip.change} {flip.url} ({values})", highlight=False, markup=False, soft_wrap=True)
            if flip.excerpt:
                _out.print(f"    {flip.excerpt}", highlight=False, markup=False, soft_wrap=True)


def _written(limit: float | list[str] | None) -> str:
    """As it is written in a config."""
    if isinstance(limit, list):
        return f"[{', '.join(limit)}]"
    return "null" if limit is None else f"{limit:.10g}"


def _notes(found: "Sweep") -> list[str]:
    how = f"{found.tokens_per_word:.3f} for each word" if found.tokens_per_word else "the mean of the others"
    notes = [f"{found.entered:,} documents entered step 2; those kept here are counted before deduplication.",
             f"Tokens of documents that were not tokenized are estimated: {how}."]  # fmt: skip
    if any(setting.current for setting in found.settings):
        notes[0] += " Bold: the run's own limits."
    if found.not_rejudged:
        notes.append(f"Stages without raw values, whose verdicts stand: {', '.join(found.not_rejudged)}.")
    if found.prefiltered is not None:
        notes.append("Unjudged: documents that language_id dropped and would let go on. What the stages after it and "
                     "step 2 make of them is not known, so they are not counted as kept.")  # fmt: skip
    if found.prefiltered:
        notes.append(f"language_prefilter dropped {found.prefiltered:,} pages before: language_id has not seen them.")
    if found.share < 1:
        notes.append(f"From {found.share:.2%} of the parts, evenly spread.")
    return notes
