"""`tokenmill config`: what a config says, for both halves of the tool."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

from pipeline.cli.console import Stages
from pipeline.contract.config import resolved
from pipeline.contract.errors import UserError
from pipeline.contract.schema import json_schema
from pipeline.contract.yaml_text import read_yaml

Kind = Literal["pipeline", "training", "sft"]

config_app = typer.Typer(help="Show what a config says.", no_args_is_help=True)


@config_app.command("show")
def show(
    config: Annotated[Path, typer.Argument(help="A config of `build`, `train` or `sft`.", metavar="CONFIG")],
    overrides: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change one value.")] = [],
    inputs: Annotated[list[str], typer.Option("--input", metavar="GLOB", help="As for `build`.")] = [],
    output: Annotated[str | None, typer.Option("--output", metavar="OUT", help="As for `build`.")] = None,
    stages: Stages = None,
) -> None:
    """The config with every default written out, as YAML."""
    import yaml

    kind = _kind(config)
    if kind == "pipeline":
        tree = _pipeline(config, overrides, inputs, output, stages)
    elif inputs or output or stages:
        problem = f"--input, --output and --stages are for a config of `build`; {config} is one of {kind}"
        raise UserError("config show", problem, hint="use --set")
    else:
        tree = _TRAINING[kind](config, overrides)
    typer.echo(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True), nl=False)


@config_app.command("schema")
def schema(kind: Annotated[str, typer.Argument(help="pipeline, training or sft")] = "pipeline") -> None:
    """The JSON schema of a config, for editors."""
    typer.echo(json.dumps(_schema(kind), indent=1))


def _kind(path: Path) -> Kind:
    """Which command the file is for, by the sections it has: every training config names its `batch` or `init_from`."""
    keys = set(read_yaml(path))
    if "init_from" in keys and "model" not in keys:
        return "sft"
    return "training" if keys & {"batch", "model", "optimizer"} else "pipeline"


def _schema(kind: str) -> dict[str, Any]:
    if kind == "pipeline":
        from pipeline.config import VARIANTS, PipelineConfig

        return json_schema(PipelineConfig, VARIANTS, title="tokenmill pipeline config")
    if kind == "training":
        from training.config import PretrainConfig

        return json_schema(PretrainConfig, title="tokenmill training config")
    if kind == "sft":
        from training.sft_config import SftConfig

        return json_schema(SftConfig, title="tokenmill sft config")
    raise UserError("config schema", f"unknown kind '{kind}'", known=get_args(Kind))


def _pipeline(config: Path, overrides: list[str], inputs: list[str], output: str | None, stages: str | None) -> Any:
    from pipeline.config import load_config, resolved_config

    return resolved_config(load_config(config, overrides=overrides, inputs=inputs, output=output, stages=stages))


def _pretraining(config: Path, overrides: list[str]) -> Any:
    from training.config import load_config

    return resolved(load_config(config, overrides))


def _fine_tuning(config: Path, overrides: list[str]) -> Any:
    from training.sft_config import load_sft_config

    return resolved(load_sft_config(config, overrides))


_TRAINING: dict[str, Callable[[Path, list[str]], Any]] = {"training": _pretraining, "sft": _fine_tuning}
