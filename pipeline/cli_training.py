"""The commands of the training half: thin, and importing torch only when called."""

import typer


def add_training_commands(app: typer.Typer) -> None:
    """Hang `train`, `sft`, `sample`, `chat`, `eval` and `export` on the command line."""
