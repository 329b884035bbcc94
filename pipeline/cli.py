"""The command `tokenmill`: thin, every command a few lines over a function.

Heavy libraries are imported inside the commands that need them, so that `tokenmill train` runs on a machine without
Ray, and `tokenmill build` on one without torch.
"""

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from pipeline import __version__
from pipeline.cli_training import add_training_commands
from pipeline.contract.errors import TokenmillError, UserError

app = typer.Typer(
    name="tokenmill",
    help="From Common Crawl to token shards to an evaluated model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
config_app = typer.Typer(help="Show what a config says.", no_args_is_help=True)
assets_app = typer.Typer(help="Models and lists that the pipeline needs.", no_args_is_help=True)
tokenizer_app = typer.Typer(help="Train and try tokenizers.", no_args_is_help=True)
app.add_typer(config_app, name="config")
app.add_typer(assets_app, name="assets")
app.add_typer(tokenizer_app, name="tokenizer")
add_training_commands(app)

ConfigPath = Annotated[Path, typer.Argument(help="A file of configs/pipeline/.", metavar="CONFIG", show_default=False)]
RunFolder = Annotated[Path, typer.Argument(help="The run folder.", metavar="OUT", show_default=False)]
Overrides = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="Change one value, e.g. filter.gopher_quality.min_words=30."),
]
Inputs = Annotated[list[str], typer.Option("--input", metavar="GLOB", help="What to read, instead of input.paths.")]
Output = Annotated[str | None, typer.Option("--output", metavar="OUT", help="The run folder, instead of run.output.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

_out = Console()


def main() -> None:
    """The entry point: exit 0 done, 2 the user's mistake, 1 anything else."""
    try:
        app(standalone_mode=True)
    except UserError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except TokenmillError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        for note in getattr(error, "__notes__", []):
            print(note, file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(1)


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """From Common Crawl to token shards to an evaluated model."""
    if show:
        typer.echo(f"tokenmill {__version__}")
        raise typer.Exit


@app.command()
def build(
    config: ConfigPath,
    inputs: Inputs = [],
    output: Output = None,
    overrides: Overrides = [],
    local: Annotated[bool, typer.Option("--local", help="Without Ray, one task after another: for debugging.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    as_json: AsJson = False,
) -> None:
    """Build token shards from web pages. The same command again goes on where a killed run stopped."""
    from pipeline import flow
    from pipeline.config import load_config
    from pipeline.report.summary import print_summary

    loaded = load_config(config, overrides=overrides, inputs=inputs, output=output, local=local)
    record = flow.build(loaded, quiet=quiet)
    out = Path(str(loaded.run.output))
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(record.totals)))
    else:
        print_summary(record, out, _out)


@app.command()
def verify(
    out: RunFolder,
    sample: Annotated[int, typer.Option(help="Documents to read again through their WARC pointers.")] = 200,
    as_json: AsJson = False,
) -> None:
    """Check every promise of a run folder against its bytes; exit 1 if one does not hold."""
    from pipeline.verify import verify as checks

    done = []
    for check in checks(out, sample=sample):
        done.append(check)
        if not as_json:
            _out.print(f"[{'green' if check.ok else 'bold red'}]{'ok  ' if check.ok else 'FAIL'}[/] {check.name}: "
                       f"{check.looked_at}", highlight=False)  # fmt: skip
            for problem in check.problems[:20]:
                _out.print(f"       {problem}", markup=False, highlight=False)
            if len(check.problems) > 20:
                _out.print(f"       ... and {len(check.problems) - 20} more")
    if as_json:
        typer.echo(json.dumps({"ok": all(c.ok for c in done), "checks": [dataclasses.asdict(c) for c in done]}))
    if not all(check.ok for check in done):
        raise typer.Exit(1)


@app.command()
def status(out: RunFolder, as_json: AsJson = False) -> None:
    """What is committed, what is left."""
    from pipeline.report.status import run_status

    found = run_status(out)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(found)))
        return
    _out.print(f"{out}: [bold]{found.state}[/], {found.inputs} inputs, tokenmill {found.version}")
    if found.error:
        _out.print(f"failed: {found.error}", markup=False)
    table = Table("step", "tasks committed", "read", "kept", "CPU seconds")
    for step in found.steps:
        table.add_row(step.name, f"{step.committed}/{step.tasks or '?'}", f"{step.read:,}", f"{step.kept:,}",
                      f"{step.cpu_seconds:,.1f}")  # fmt: skip
    _out.print(table)


@app.command()
def stats(out: RunFolder, as_json: AsJson = False) -> None:
    """The totals of a finished run, as a table."""
    from pipeline.contract.run import RunRecord
    from pipeline.report.summary import print_summary

    record = RunRecord.read(out)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(record.totals)))
    else:
        print_summary(record, out, _out)


@app.command()
def report(out: RunFolder) -> None:
    """Write OUT/report.html anew."""
    from pipeline.contract.run import RunRecord
    from pipeline.report import write_report

    typer.echo(write_report(out, RunRecord.read(out)))


@app.command()
def crawl(
    seed: Annotated[list[str], typer.Option(metavar="URL", help="Where to start; may be given several times.")],
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the WARC files go.")],
    limit: Annotated[int, typer.Option(help="Pages at most.")] = 100,
    delay: Annotated[float, typer.Option(help="Seconds between two requests to one host.")] = 1.0,
    same_host: Annotated[bool, typer.Option(help="Stay on the hosts of the seeds.")] = True,
) -> None:
    """Fetch pages politely (robots.txt, one host at a time) into WARC files laid out as Common Crawl's."""
    from pipeline.sources.crawl import crawl as run_crawl

    summary = run_crawl(seed, output, limit=limit, delay=delay, same_host=same_host)
    typer.echo(summary)


@config_app.command("show")
def config_show(config: ConfigPath, overrides: Overrides = [], inputs: Inputs = [], output: Output = None) -> None:
    """The config with every default written out, as YAML."""
    import yaml

    typer.echo(
        yaml.safe_dump(_resolved(config, overrides, inputs, output), sort_keys=False, allow_unicode=True), nl=False
    )


@config_app.command("schema")
def config_schema(
    kind: Annotated[str, typer.Argument(help="pipeline or training")] = "pipeline",
) -> None:
    """The JSON schema of a config, for editors."""
    from pipeline.contract.schema import json_schema

    if kind == "pipeline":
        from pipeline.config import VARIANTS, PipelineConfig

        typer.echo(json.dumps(json_schema(PipelineConfig, VARIANTS), indent=1))
    elif kind == "training":
        from training.config import TrainConfig

        typer.echo(json.dumps(json_schema(TrainConfig), indent=1))
    else:
        raise UserError("config schema", f"unknown kind '{kind}'", known=["pipeline", "training"])


def _resolved(config: Path, overrides: list[str], inputs: list[str], output: str | None) -> Any:
    from pipeline.config import load_config, resolved_config

    return resolved_config(load_config(config, overrides=overrides, inputs=inputs, output=output))


@assets_app.command("fetch")
def assets_fetch(
    names: Annotated[list[str], typer.Argument(help="Which; none means all the defaults need.")] = [],
) -> None:
    """Fetch models and lists once, checked by SHA-256; afterwards no command needs the network."""
    from pipeline.storage.assets import fetch

    for path in fetch(names or None):
        typer.echo(path)


@tokenizer_app.command("train")
def tokenizer_train(
    inputs: Annotated[list[str], typer.Option("--input", help="Text, jsonl or parquet files with a `text` column.")],
    output: Annotated[Path, typer.Option(help="The tokenizer.json to write.")],
    vocabulary_size: Annotated[int, typer.Option(help="Ids in all.")] = 32_768,
) -> None:
    """Train a byte-level BPE tokenizer."""
    from pipeline.sources.texts import read_texts
    from pipeline.tokens.train import train_tokenizer

    train_tokenizer(read_texts(inputs), vocabulary_size=vocabulary_size, path=output)
    typer.echo(output)


@tokenizer_app.command("encode")
def tokenizer_encode(
    tokenizer: Path, text: Annotated[str, typer.Argument(help="The text; `-` reads standard input.")]
) -> None:
    """The ids of a text, and the piece of text each stands for."""
    from pipeline.tokens.tokenizer import load_tokenizer

    loaded = load_tokenizer(tokenizer)
    ids = loaded.encode([sys.stdin.read() if text == "-" else text])[0]
    for number, piece in zip(ids, loaded.pieces(ids), strict=True):
        typer.echo(f"{number}\t{piece!r}")


@tokenizer_app.command("show")
def tokenizer_show(tokenizer: Path) -> None:
    """What a tokenizer.json holds."""
    from pipeline.tokens.tokenizer import load_tokenizer

    loaded = load_tokenizer(tokenizer)
    typer.echo(json.dumps({**dataclasses.asdict(loaded.info), "end_of_text": loaded.end_of_text,
                           "special_tokens": loaded.special_tokens}, indent=1, ensure_ascii=False))  # fmt: skip


@app.command()
def doctor() -> None:
    """What this machine has, and what is missing."""
    from pipeline.report.doctor import examine

    table = Table("what", "found", "for")
    for line in examine():
        table.add_row(line.what, f"[{'green' if line.ok else 'yellow'}]{line.found}[/]", line.purpose)
    _out.print(table)


if __name__ == "__main__":
    main()
