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
from rich.table import Table

from pipeline import __version__
from pipeline.cli.classifier import add_classifier_commands
from pipeline.cli.config import config_app
from pipeline.cli.console import Stages, console
from pipeline.cli.dedup import add_dedup_commands
from pipeline.cli.explore import add_explore_command
from pipeline.cli.extractor import add_extractor_commands
from pipeline.cli.forecast import add_forecast_command, show_comparison
from pipeline.cli.replay import add_replay_command
from pipeline.cli.sweep import add_sweep_command
from pipeline.cli.tools import add_tool_commands
from pipeline.cli.training import add_training_commands
from pipeline.contract.errors import InputError, IntegrityError, StageError, Stopped, TokenmillError, UserError

app = typer.Typer(
    name="tokenmill",
    help="From Common Crawl to token shards to an evaluated model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(config_app, name="config")

ConfigPath = Annotated[Path, typer.Argument(help="A file of configs/pipeline/.", metavar="CONFIG", show_default=False)]
RunFolder = Annotated[Path, typer.Argument(help="The run folder.", metavar="OUT", show_default=False)]
Overrides = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="Change one value, e.g. filter.gopher_quality.min_words=30."),
]
Inputs = Annotated[list[str], typer.Option("--input", metavar="GLOB", help="What to read, instead of input.paths.")]
Output = Annotated[str | None, typer.Option("--output", metavar="OUT", help="The run folder, instead of run.output.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

_out = console()


def main() -> None:
    """The entry point: exit 0 done, 2 the user's mistake, 1 anything else; 128 + signal for a run of `train` or `sft`
    that a signal ended."""
    try:
        app(standalone_mode=True)
    except SystemExit as end:
        if end.code != 130:  # typer's answer to Ctrl-C
            raise
        print("stopped", file=sys.stderr)
        sys.exit(1)
    except (UserError, StageError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Stopped as error:
        print(f"stopped by {error}", file=sys.stderr, flush=True)
        sys.exit(error.exit_code)
    except TokenmillError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        for note in getattr(error, "__notes__", []):
            print(note, file=sys.stderr)
        sys.exit(error.exit_code)
    except (FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        print(f"InputError: {error.filename or 'a file'}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


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
    stages: Stages = None,
    local: Annotated[bool, typer.Option("--local", help="Without Ray, one task after another: for debugging.")] = False,
    reuse: Annotated[
        Path | None,
        typer.Option(
            metavar="OLD",
            help="Take over what this run folder has done already and neither the config nor the inputs change.",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    as_json: AsJson = False,
) -> None:
    """Build token shards from web pages. The same command again goes on where a killed run stopped."""
    from pipeline import flow
    from pipeline.config import load_config
    from pipeline.report.summary import print_summary

    loaded = load_config(config, overrides=overrides, inputs=inputs, output=output, local=local, stages=stages)
    record = flow.build(loaded, quiet=quiet, reuse=reuse)
    out = Path(str(loaded.run.output))
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(record.totals)))
    else:
        print_summary(record, out, _out)
        show_comparison(out, record)


@app.command()
def verify(
    out: RunFolder,
    sample: Annotated[int, typer.Option(min=0, help="Documents to read again through their WARC pointers.")] = 200,
    as_json: AsJson = False,
) -> None:
    """Check every promise of a run folder against its bytes; exit 1 if one does not hold."""
    from pipeline.report.printable import printable
    from pipeline.tools.verify import verify as checks

    done = []
    for check in checks(out, sample=sample):
        done.append(check)
        if not as_json:
            _out.print(f"[{'green' if check.ok else 'bold red'}]{'ok  ' if check.ok else 'FAIL'}[/] {check.name}: "
                       f"{check.looked_at}", highlight=False, soft_wrap=True)  # fmt: skip
            for problem in check.problems[:20]:
                _out.print(printable(f"       {problem}"), markup=False, highlight=False, soft_wrap=True)
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
    from pipeline.report.summary import print_steps

    found = run_status(out)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(found)))
        return
    _out.print(f"{out}: [bold]{found.state}[/], {found.inputs} inputs, tokenmill {found.version}")
    if found.error:
        _out.print(f"failed: {found.error}", markup=False)
    print_steps(found, _out)


@app.command()
def stats(out: RunFolder, as_json: AsJson = False) -> None:
    """The totals of a finished run, as a table."""
    from pipeline.contract.run import RunRecord
    from pipeline.report.summary import print_summary

    record = RunRecord.read(out)
    if record.state != "done":
        problem = f"is {record.state}, and has no totals yet"
        raise InputError(str(out), problem, hint="`tokenmill status` says how far it is")
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(record.totals)))
    else:
        print_summary(record, out, _out)


@app.command()
def report(out: RunFolder) -> None:
    """Write OUT/report.html anew."""
    from pipeline.contract.run import RunRecord
    from pipeline.report import write_report

    record = RunRecord.read(out)
    damaged = [problem for problem in record.damage(out) if not problem.startswith("report.html")]
    if damaged:  # sealing them again would hide it
        raise IntegrityError(f"{out}: {'; '.join(damaged)}; `tokenmill verify` tells all that is damaged")
    typer.echo(write_report(out, record))
    if record.state == "done":  # that of a build under way is the build's to write
        record.write(out)  # it seals the report


@app.command()
def trace(
    out: RunFolder,
    url: Annotated[str | None, typer.Option(help="What became of this address.")] = None,
    domain: Annotated[str | None, typer.Option(help="What became of this domain, subdomains included.")] = None,
    shard: Annotated[str | None, typer.Option(help="With --position: the document that a token belongs to.")] = None,
    position: Annotated[int | None, typer.Option(help="Of the token in the shard, from 0.")] = None,
    as_json: AsJson = False,
) -> None:
    """From a page to its tokens, from a token to its page."""
    from pipeline.tools.trace import trace_domain, trace_position, trace_url

    if [url is not None, domain is not None, shard is not None].count(True) != 1 or (shard is None) != (
        position is None
    ):
        raise UserError("trace", "give one of --url, --domain, or --shard with --position")
    if url is not None:
        found = trace_url(out, url)
    elif domain is not None:
        found = trace_domain(out, domain)
    else:
        found = [trace_position(out, str(shard), position or 0)]
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(one) for one in found]))
    else:
        _print_traces(found)


@app.command()
def remove(
    out: RunFolder,
    output: Annotated[Path, typer.Option(metavar="OUT2", help="The new run folder.")],
    domain: Annotated[list[str], typer.Option(help="Take this domain out, subdomains included.")] = [],
    url_file: Annotated[Path | None, typer.Option(help="Take these addresses out, one a line.")] = None,
) -> None:
    """Copy a run without some pages, tokens included."""
    from pipeline.report.printable import printable
    from pipeline.tools.remove import Takedown, no_document_of, read_urls
    from pipeline.tools.remove import remove as take_out

    if not domain and url_file is None:
        raise UserError("remove", "nothing to remove", hint="give --domain or --url-file")
    domains = frozenset(name.lower().strip(". ") for name in domain)
    if "" in domains:
        raise UserError("--domain", "is empty", hint="give a domain such as example.com")
    done = take_out(out, output, Takedown(domains, read_urls(url_file) if url_file else frozenset()))
    _out.print(f"{done.documents:,} documents and {done.tokens:,} tokens taken out, {done.shards_rewritten} of "
               f"{done.shards} shards written anew: {output}", highlight=False, soft_wrap=True)  # fmt: skip
    if done.unmatched:
        _out.print(printable(no_document_of(done.unmatched)), markup=False, highlight=False, soft_wrap=True)


@app.command()
def publish(
    out: RunFolder,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A folder, or an address such as s3://bucket/run.")],
    steps: Annotated[bool, typer.Option("--steps", help="The intermediate documents too.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Read every byte back and compare.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="Files under way at a time.")] = 8,
    options: Annotated[
        list[str], typer.Option("--option", metavar="KEY=VALUE", help="Of the store, e.g. endpoint_url=http://...")
    ] = [],
) -> None:
    """Copy a finished run to a store, where readers see all of it or nothing; again, to go on."""
    from pipeline.contract.run import RunRecord
    from pipeline.identity import remote_settings
    from pipeline.tools.publish import publish as send

    wrong = next((option for option in options if "=" not in option), None)
    if wrong is not None:
        raise UserError(f"--option {wrong}", "expected KEY=VALUE")
    settings = remote_settings(RunRecord.read(out), dict(option.split("=", 1) for option in options))
    done = send(out, target, settings, steps=steps, check=check, threads=threads)
    others = " (the others were there)" if done.sent < done.files else ""
    left_out = f", {done.left_out:,} intermediate files left out (--steps sends them)" if done.left_out else ""
    _out.print(f"{target}: {done.files:,} files, {done.bytes:,} bytes, {done.sent:,} sent now{others}{left_out}"
               f"{', every byte read back' if done.checked else ''}", highlight=False, soft_wrap=True)  # fmt: skip


def _print_traces(found: list[Any]) -> None:
    from pipeline.report.printable import printable

    for one in found:
        details = ", ".join(f"{name} {value}" for name, value in one.details.items())
        typer.echo(printable(f"{one.outcome}: {details}"))
        typer.echo(printable(f"  {one.url}"))
        typer.echo(printable(f"  {one.id} in {one.warc_path} at byte {one.warc_offset}"))
        for span in one.spans:
            typer.echo(f"  {span.shard} tokens {span.start:,} to {span.start + span.length - 1:,}")
    if not found:
        typer.echo("nothing: no candidate of this run has such an address")


@app.command()
def doctor() -> None:
    """What this machine has, and what is missing."""
    from pipeline.report.doctor import examine

    table = Table("what", "found", "for")
    for line in examine():
        table.add_row(line.what, f"[{'green' if line.ok else 'yellow'}]{line.found}[/]", line.purpose)
    _out.print(table)


add_sweep_command(app)
add_explore_command(app)
add_replay_command(app)
add_forecast_command(app)
add_dedup_commands(app)
add_classifier_commands(app)
add_extractor_commands(app)
add_tool_commands(app)
add_training_commands(app)
