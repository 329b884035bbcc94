"""The commands of the training half: thin, and importing torch only when called."""

import json
import shlex
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from pipeline.contract.config import build
from pipeline.contract.errors import UserError

TrainingConfig = Annotated[
    Path, typer.Argument(help="A file of configs/training/.", metavar="CONFIG", show_default=False)
]
Checkpoint = Annotated[Path, typer.Argument(help="A checkpoint, or the run folder that holds it.", metavar="CKPT")]
Overrides = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change one value: batch.steps=100")]
Nproc = Annotated[int | None, typer.Option(help="Processes on this machine; one per GPU by default.")]
MaxTokens = Annotated[int, typer.Option(help="Tokens to write at most.")]
Temperature = Annotated[float, typer.Option(help="0 takes the likeliest token.")]
TopK = Annotated[int | None, typer.Option(help="Choose among the k likeliest tokens.")]
TopP = Annotated[float | None, typer.Option(help="Choose among the likeliest tokens of this probability together.")]
Seed = Annotated[int, typer.Option(help="The same seed writes the same text.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


def add_training_commands(app: typer.Typer) -> None:
    """Hang `train`, `sft`, `sample`, `chat`, `eval`, `export` and `lineage` on the command line."""
    app.command("train")(train)
    app.command("sft")(sft)
    app.command("sample")(sample)
    app.command("chat")(chat)
    app.command("eval")(evaluate)
    app.command("export")(export)
    app.command("lineage")(lineage)


def train(config: TrainingConfig, nproc: Nproc = None, overrides: Overrides = []) -> None:
    """Pretrain a model on token shards; the same command again goes on from the newest checkpoint."""
    from training.runtime.stopping import signal_handler, stop_now

    with signal_handler(stop_now):
        from training.pretrain import launch

        code = launch(config, overrides, nproc)
    raise typer.Exit(_exit_code(code))


def sft(config: TrainingConfig, nproc: Nproc = None, overrides: Overrides = []) -> None:
    """Fine-tune a pretrained model on conversations."""
    from training.runtime.stopping import signal_handler, stop_now

    with signal_handler(stop_now):
        from training.sft import launch

        code = launch(config, overrides, nproc)
    raise typer.Exit(_exit_code(code))


def sample(
    checkpoint: Checkpoint,
    prompt: Annotated[list[str], typer.Option(help="What to go on from; may be given several times.")] = [""],
    as_chat: Annotated[bool, typer.Option("--chat", help="The prompt is a user's message.")] = False,
    max_tokens: MaxTokens = 128,
    temperature: Temperature = 0.8,
    top_k: TopK = 50,
    top_p: TopP = None,
    seed: Seed = 17,
    device: Device = "auto",
) -> None:
    """Let a model go on from a prompt."""
    from training.chat.terminal import run_sample

    run_sample(checkpoint, prompt, _sampling(max_tokens, temperature, top_k, top_p, seed), chat=as_chat, device=device)


def chat(
    checkpoint: Checkpoint,
    system: Annotated[str | None, typer.Option(help="The system message.")] = None,
    max_tokens: MaxTokens = 256,
    temperature: Temperature = 0.7,
    top_k: TopK = 50,
    top_p: TopP = None,
    seed: Seed = 17,
    device: Device = "auto",
) -> None:
    """Talk with a fine-tuned model, line by line."""
    from training.chat.terminal import run_chat

    run_chat(checkpoint, _sampling(max_tokens, temperature, top_k, top_p, seed), system=system, device=device)


def evaluate(
    checkpoint: Checkpoint,
    tasks: Annotated[str, typer.Option(help="Benchmarks, comma-separated, or `all`.")] = "",
    tasks_dir: Annotated[Path | None, typer.Option(help="The folder of the benchmarks' jsonl files.")] = None,
    text: Annotated[
        list[str], typer.Option(help="Bits per byte on this: a tokens/ folder, .txt, .jsonl, .parquet.")
    ] = [],
    limit: Annotated[int | None, typer.Option(help="Items per benchmark, documents per text.")] = None,
    fewshot: Annotated[int | None, typer.Option(help="Solved examples before each item.")] = None,
    exclude: Annotated[Path | None, typer.Option(help="A jsonl file of contaminated items to leave out.")] = None,
    exclude_contaminated: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="Also score without the items that stand on pages which this build kept."),
    ] = None,
    as_chat: Annotated[bool, typer.Option("--chat", help="Ask in the chat format.")] = False,
    bos: Annotated[bool, typer.Option(help="Put the end-of-text token before every context.")] = False,
    output: Annotated[Path | None, typer.Option(help="Where the JSON goes.")] = None,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as one JSON object.")] = False,
) -> None:
    """Measure a model: bits per byte, and benchmarks through lm-evaluation-harness."""
    from pipeline.cli.console import console
    from training.evaluation.config import EvalConfig
    from training.evaluation.evaluate import run_eval

    fields = {
        "tasks": [name.strip() for name in tasks.split(",") if name.strip()], "text": text, "limit": limit,
        "tasks_dir": _text(tasks_dir), "fewshot": fewshot, "exclude": _text(exclude), "chat": as_chat, "bos": bos,
        "output": _text(output), "device": device, "exclude_contaminated": _text(exclude_contaminated),
    }  # fmt: skip
    results = run_eval(checkpoint, build(EvalConfig, fields, "eval"), console=console(quiet=as_json))
    if as_json:
        typer.echo(json.dumps(results))


def export(
    source: Annotated[Path, typer.Argument(help="A checkpoint, or its run folder.", metavar="CKPT")],
    output: Annotated[Path, typer.Argument(help="A new folder.", metavar="FOLDER")],
    to: Annotated[str, typer.Option(help="hf: a folder that transformers loads.")] = "hf",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
) -> None:
    """A model as a Hugging Face folder, loaded back and its logits compared."""
    if to != "hf":
        hint = f"token shards are exported by `tokenmill export-shards {shlex.quote(str(source))} FOLDER --to {to}`"
        raise UserError("--to", f"unknown format '{to}'", known=["hf"], hint=hint if to in _shard_formats() else None)
    from training.tools.export import run_export

    typer.echo(run_export(source, output, dtype))


def _shard_formats() -> tuple[str, ...]:
    """The formats of `export-shards`, for those who look for them in `export`."""
    from pipeline.tokens.export import Format

    return get_args(Format)


def lineage(
    run: Annotated[Path, typer.Argument(help="A run folder of train.", metavar="RUN")],
    step: Annotated[int | None, typer.Option(help="The documents that this step read.")] = None,
    url: Annotated[str | None, typer.Option(help="The steps that read this page.")] = None,
    domain: Annotated[str | None, typer.Option(help="The steps that read pages of this domain.")] = None,
) -> None:
    """What the model read at a step, and when it read a page; one JSON object a line."""
    from training.tools.lineage import main

    given = [
        [f"--{name}", str(value)]
        for name, value in (("step", step), ("url", url), ("domain", domain))
        if value is not None
    ]
    if len(given) != 1:
        raise UserError("lineage", "give one of --step, --url and --domain")
    raise typer.Exit(main([str(run), *given[0]]))


def _exit_code(code: int) -> int:
    """0, 1 or 2. (A run that was told to stop raises `Stopped`.)"""
    return code if code in (0, 2) else 1


def _sampling(max_tokens: int, temperature: float, top_k: int | None, top_p: float | None, seed: int) -> Any:
    from training.model.generation import Sampling

    fields = {"max_tokens": max_tokens, "temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    return build(Sampling, fields, "sampling")


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
