"""Where commands print their tables."""

import os
import sys
from typing import Annotated

import typer
from rich.console import Console

Stages = Annotated[
    str | None,
    typer.Option("--stages", metavar="DIR", help="A folder with stages of your own, instead of run.stages_path."),
]

LOG_COLUMNS = 140
"""Width where nobody looks at a terminal: in a log or a pipe nothing has to be cut to fit a screen."""


def console(*, quiet: bool = False) -> Console:
    """Standard output: as wide as the terminal; elsewhere as COLUMNS says, or LOG_COLUMNS."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else LOG_COLUMNS
    return Console(width=width, quiet=quiet)
