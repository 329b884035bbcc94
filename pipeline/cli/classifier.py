"""The commands `tokenmill classifier train` and `eval`."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.contract.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.tools.classifier import Evaluation

classifier_app = typer.Typer(help="Train and measure a fastText quality classifier.", no_args_is_help=True)
_FILES = "jsonl, parquet or text files, globs or folders; may be given several times."
Positive = Annotated[list[str], typer.Option("--positive", metavar="FILES", help=f"Texts to keep: {_FILES}")]
Negative = Annotated[list[str], typer.Option("--negative", metavar="FILES", help=f"Texts to drop: {_FILES}")]
TextColumn = Annotated[str, typer.Option(help="The column that holds the text.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def add_classifier_commands(app: typer.Typer) -> None:
    """Hang `classifier` on the command line."""
    app.add_typer(classifier_app, name="classifier")


@classifier_app.command("train")
def train(
    positive: Positive,
    negative: Negative,
    output: Annotated[Path, typer.Option(help="The model to write.")],
    text_column: TextColumn = "text",
    held_out: Annotated[float, typer.Option(help="Share of the texts to measure on.")] = 0.1,
    word_ngrams: Annotated[int, typer.Option(help="Longest run of words that is a feature.")] = 2,
    dimensions: Annotated[int, typer.Option(help="Of the word vectors.")] = 100,
    epochs: Annotated[int, typer.Option(help="Passes over the texts.")] = 5,
    learning_rate: Annotated[float, typer.Option(help="At the start.")] = 0.1,
    min_count: Annotated[int, typer.Option(help="Rarer words are no features.")] = 1,
    buckets: Annotated[int, typer.Option(help="Hash buckets for runs of words.")] = 2_000_000,
    seed: Annotated[int, typer.Option(help="Of the split, the order and the initial vectors.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Train a model, and measure it on texts it has not seen. The same texts give the same model."""
    from pipeline.tools.classifier import Recipe
    from pipeline.tools.classifier import train as run_train

    try:
        recipe = Recipe(held_out=held_out, word_ngrams=word_ngrams, dimensions=dimensions, epochs=epochs,
                        learning_rate=learning_rate, min_count=min_count, buckets=buckets, seed=seed)  # fmt: skip
    except ValueError as error:
        raise ConfigError("classifier train", str(error)) from error
    done = run_train(_texts(positive, text_column), _texts(negative, text_column), output, recipe)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(done)))
        return
    left_out = f"{done.repeated:,} repeated texts and {done.in_both:,} that stand in both sets left out"
    typer.echo(f"{output}: trained on {done.positives:,} positives and {done.negatives:,} negatives; {left_out}")
    if done.evaluation:
        _print(done.evaluation)


@classifier_app.command("eval")
def evaluate(
    model: Annotated[str, typer.Argument(help="A fastText model.")],
    positive: Positive,
    negative: Negative,
    text_column: TextColumn = "text",
    label: Annotated[str, typer.Option(help="Score by the probability of this label.")] = "positive",
    as_json: AsJson = False,
) -> None:
    """Precision, recall and ROC AUC of a model on texts of your own."""
    from pipeline.tools.classifier import evaluate as run_evaluate

    found = run_evaluate(model, _texts(positive, text_column), _texts(negative, text_column), label=label)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(found)))
    else:
        _print(found)


def _texts(paths: list[str], column: str) -> "list[str]":
    from pipeline.sources.rows import Columns
    from pipeline.sources.texts import read_texts

    return list(read_texts(paths, columns=Columns(text=column)))


def _print(found: "Evaluation") -> None:
    typer.echo(f"on {found.positives:,} positives and {found.negatives:,} negatives: ROC AUC {found.roc_auc:.4f}")
    typer.echo(f"{'min_score':>10} {'precision':>10} {'recall':>10} {'negatives kept':>15}")
    for point in (found.at_half, *found.points):
        typer.echo(f"{point.min_score:10.6f} {point.precision:10.4f} {point.recall:10.4f} "
                   f"{point.false_positive_rate:15.4f}")  # fmt: skip
