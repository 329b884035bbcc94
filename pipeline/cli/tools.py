"""Commands beside the builds: crawl, assets, tokenizers, export of token shards."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

assets_app = typer.Typer(help="Models and lists that the pipeline needs.", no_args_is_help=True)
tokenizer_app = typer.Typer(help="Train and try tokenizers.", no_args_is_help=True)


def add_tool_commands(app: typer.Typer) -> None:
    """Hang `crawl`, `export-shards`, `assets` and `tokenizer` on the command line."""
    app.command("crawl")(crawl)
    app.command("export-shards")(export_shards)
    app.add_typer(assets_app, name="assets")
    app.add_typer(tokenizer_app, name="tokenizer")


def crawl(
    seed: Annotated[list[str], typer.Option(metavar="URL", help="Where to start; may be given several times.")],
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the WARC files go.")],
    limit: Annotated[int, typer.Option(help="Requests for pages, at most.")] = 100,
    delay: Annotated[float, typer.Option(help="Seconds between two requests to one host.")] = 1.0,
    same_host: Annotated[bool, typer.Option(help="Stay on the hosts of the seeds.")] = True,
    max_depth: Annotated[int | None, typer.Option(help="Links to follow from a seed, at most.")] = None,
    concurrency: Annotated[int, typer.Option(help="Hosts to talk to at the same time.")] = 8,
    timeout: Annotated[float, typer.Option(help="Seconds for one request.")] = 30.0,
    max_bytes: Annotated[int, typer.Option(help="Longer bodies are cut.")] = 5 * 1024 * 1024,
    per_warc: Annotated[int, typer.Option(help="Pages in one WARC file.")] = 1000,
    connect_to: Annotated[list[str], typer.Option(metavar="HOST:PORT:ADDR:PORT", help="As curl's.")] = [],
    date: Annotated[str | None, typer.Option(help="A fixed date for every record: the same bytes each time.")] = None,
    user_agent: Annotated[str | None, typer.Option(help="Say here where you can be reached.")] = None,
    allow_private: Annotated[bool, typer.Option(help="Hosts may resolve to private addresses.")] = False,
) -> None:
    """Fetch pages politely (robots.txt, one request at a time per host) into WARC files, laid out as Common Crawl's."""
    from pipeline.crawler.crawl import crawl as run_crawl

    settings: dict[str, Any] = {
        "limit": limit, "delay": delay, "same_host": same_host, "max_depth": max_depth,
        "concurrency": concurrency, "timeout": timeout, "max_bytes": max_bytes, "per_warc": per_warc,
        "connect_to": tuple(connect_to), "date": date, "allow_private": allow_private,
    }  # fmt: skip
    if user_agent is not None:
        settings["user_agent"] = user_agent
    done = run_crawl(seed, output, **settings)
    typer.echo(
        f"{done.stored} of {done.requested} requests stored in {len(done.warcs)} WARC files, {done.bytes:,} bytes"
    )
    for what, numbers in (("status", done.statuses), ("refused", done.refused), ("failed", done.failed)):
        for name, number in sorted(numbers.items(), key=lambda item: str(item[0])):
            typer.echo(f"  {what} {name}: {number}")


def export_shards(
    out: Annotated[Path, typer.Argument(help="A run folder, or its tokens/ folder.", metavar="OUT")],
    output: Annotated[Path, typer.Argument(help="A new folder.", metavar="FOLDER")],
    to: Annotated[str, typer.Option(help="megatron, llmc, mds (MosaicML) or parquet.")],
    sequence_length: Annotated[int | None, typer.Option(help="Of mds: windows of this many tokens.")] = None,
) -> None:
    """Token shards in the format of another trainer."""
    from pipeline.tokens.export import export_tokens

    done = export_tokens(out, output, to, sequence_length=sequence_length)  # type: ignore[arg-type]
    left_out = f", {done.left_out:,} tokens left out (they fill no window)" if done.left_out else ""
    typer.echo(f"{output}: {done.tokens:,} tokens in {done.files:,} files{left_out}")


@assets_app.command("fetch")
def assets_fetch(
    names: Annotated[list[str], typer.Argument(help="Which; none means all the defaults need.")] = [],
) -> None:
    """Fetch models and lists once, checked by SHA-256; afterwards no command needs the network."""
    from pipeline.storage.assets import fetch

    for path in fetch(names or None, tell=lambda line: typer.echo(line, err=True)):
        typer.echo(path)
    if not names:
        from pipeline.stages.url_filter import UrlFilter
        from pipeline.text.features import prepare

        # Once per machine: the compact file of the shipped lists, and the compiled loops over text.
        UrlFilter().prepare()
        prepare()


@tokenizer_app.command("train")
def tokenizer_train(
    inputs: Annotated[list[str], typer.Option("--input", help="Text, jsonl or parquet files with a `text` column.")],
    output: Annotated[Path, typer.Option(help="The tokenizer.json to write.")],
    vocabulary_size: Annotated[int, typer.Option(help="Ids in all.")] = 32_768,
) -> None:
    """Train a byte-level BPE tokenizer."""
    from pipeline.sources.texts import read_texts
    from pipeline.tokens.bpe_training import train_tokenizer

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
