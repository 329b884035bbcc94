"""The command `tokenmill replay`."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.tools.replay import ReplayedPage


def add_replay_command(app: typer.Typer) -> None:
    """Hang `replay` on the command line."""
    app.command("replay")(replay)


def replay(
    out: Annotated[Path, typer.Argument(help="The run folder.", metavar="OUT", show_default=False)],
    stage: Annotated[str | None, typer.Option(help="Only pages given up in this step or stage.")] = None,
    ids: Annotated[list[str], typer.Option("--id", help="Only this page, by its id.")] = [],
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many pages.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Seconds a page may take, instead of the run's limits.")] = None,
    memory: Annotated[int | None, typer.Option(help="Bytes a page may allocate, instead of the run's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per page.")] = False,
) -> None:
    """Try the quarantined pages again, each alone: what happened then, what happens now. Changes nothing."""
    from pipeline.tools.replay import LimitOverrides
    from pipeline.tools.replay import replay as run_replay

    tried = passed = unreachable = 0
    for page in run_replay(
        out, step=stage, ids=ids, limit=limit, limits=LimitOverrides(seconds=seconds, memory=memory)
    ):
        tried, passed = tried + 1, passed + (page.now.outcome == "passed")
        unreachable += page.now.outcome == "unreachable"
        typer.echo(json.dumps(dataclasses.asdict(page)) if as_json else _shown(page))
    if not as_json:
        lost = f", {unreachable} whose input cannot be reached" if unreachable else ""
        typer.echo(f"{tried} pages tried again, {passed} passed{lost}" if tried else "no page was quarantined")


def _shown(page: "ReplayedPage") -> str:
    before, now = page.before, page.now
    took = "" if before.seconds is None else f" after {before.seconds:.3g} s"
    memory = "" if now.peak_memory is None else f", {now.peak_memory / 2**20:,.1f} MiB more memory"
    lines = [
        f"{before.url}",
        f"  {before.id} in {before.warc_path} at byte {before.warc_offset}",
        f"  then: {'.'.join(filter(None, (before.step, before.stage)))}: {before.cause}{took}",
        f"  now:  {now.outcome}{_why(page)}, {now.seconds:.3g} s{memory}",
    ]
    if now.characters is not None:
        lines.append(f"  {now.characters:,} characters: {' '.join(now.excerpt.split())[:200]!r}")
    return "\n".join([*lines, *(f"    {line}" for line in now.trace.splitlines())])


def _why(page: "ReplayedPage") -> str:
    parts = [part for part in (page.now.stage, page.now.cause) if part]
    return f" by {': '.join(parts)}" if parts else ""
