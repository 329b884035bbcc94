"""The commands `tokenmill extractor train` and `eval`."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pipeline.cli.console import console
from pipeline.contract.errors import ConfigError, InputError

if TYPE_CHECKING:
    from pipeline.extractor.evaluation import Evaluation

extractor_app = typer.Typer(help="Train and measure the learned main-text extractor.", no_args_is_help=True)
Labelled = Annotated[
    list[Path], typer.Argument(metavar="LABELLED...", help="Parquet files of labelled pages; see docs/extraction.md.")
]


def add_extractor_commands(app: typer.Typer) -> None:
    """Hang `extractor` on the command line."""
    app.add_typer(extractor_app, name="extractor")


@extractor_app.command("train")
def train(
    labelled: Labelled,
    output: Annotated[Path, typer.Option(help="The model to write.")],
    trees: Annotated[int, typer.Option(help="Boosted trees.")] = 100,
    leaves: Annotated[int, typer.Option(help="Of a tree.")] = 31,
    seed: Annotated[int, typer.Option(help="Of the samples of blocks and features.")] = 1,
    threads: Annotated[int, typer.Option(help="0: one for each core. They do not change the model.")] = 0,
) -> None:
    """Train a model. The same pages and settings give the same model, byte for byte."""
    from pipeline.contract.manifest import sha256_file
    from pipeline.extractor import labelled as pages
    from pipeline.extractor import training
    from pipeline.storage.files import write_atomic

    try:
        recipe = training.Recipe(trees=trees, leaves=leaves, seed=seed, threads=threads)
    except ValueError as error:
        raise ConfigError("extractor train", str(error)) from error
    sources = {path.name: sha256_file(path) for path in labelled if path.is_file()}
    examples = training.prepare(pages.read(labelled))
    if not examples:
        raise InputError(str(labelled[0]), "has no page whose main text is known", hint="give labelled pages")
    model = training.train(examples, recipe, {"labelled": sources}, say=typer.echo)
    data = model.to_bytes()
    write_atomic(output, data)
    typer.echo(f"{output}: {len(data):,} bytes, trained on {len(examples):,} pages")


@extractor_app.command("eval")
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A file, or the name of a model that is shipped.")],
    labelled: Labelled,
    engine: Annotated[
        str, typer.Option(help="Measure `trafilatura`, `resiliparse` or `adaptive` instead of MODEL.")
    ] = "blocks",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure a model on labelled pages: words against the gold text, phrases, time."""
    from pipeline.extractor import labelled as pages
    from pipeline.extractor.evaluation import evaluate as measure
    from pipeline.stages.main_text import MainText

    try:
        stage = MainText(engine=engine, model=model)  # type: ignore[arg-type]
    except ValueError as error:
        raise ConfigError("extractor eval", str(error)) from error
    stage.prepare()
    result = measure(pages.read(labelled), lambda page: stage.text_of(page.decode("utf-8", "replace")))
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(result)))
    else:
        print_evaluation(result)


def print_evaluation(result: "Evaluation") -> None:
    """Print an evaluation as a table and lines."""
    if result.groups:
        table = Table("pages of type", "pages", "precision", "recall", "F1", "95 %", box=None)
        for group in result.groups:
            low, high = group.interval
            numbers = (group.score.precision, group.score.recall, group.score.f1)
            table.add_row(
                group.page_type, f"{group.pages:,}", *(f"{number:.3f}" for number in numbers), f"{low:.3f}-{high:.3f}"
            )
        console().print(table)
    if result.phrases:
        found = result.phrases
        typer.echo(
            f"phrases: {found.found:,} of {found.wanted:,} wanted and {found.kept:,} of {found.unwanted:,} unwanted are"
            f" in the text; precision {found.precision:.3f}, recall {found.recall:.3f}, F1 {found.f1:.3f}"
        )
    typer.echo(f"{result.milliseconds:.2f} CPU ms a page")
