"""Configs of any bytes: an error that names the key, or a config that reads back as itself."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from case import Case, Target, promise, refused
from mutate import ODD_TEXTS, ODD_VALUES, TOKENS, mangle, mangle_tree

from pipeline.config import VARIANTS, PipelineConfig, load_config, resolved_config
from pipeline.contract.config import build, fingerprint, resolved
from pipeline.contract.errors import TokenmillError
from pipeline.contract.keys import apply_overrides
from pipeline.contract.yaml_text import read_yaml
from training.config import PretrainConfig
from training.config import load_config as load_pretraining
from training.sft_config import SftConfig, load_sft_config

_FOLDER = Path(__file__).parents[2] / "configs"
_OVERRIDES = ("run.workers", "extract.0", "filter.gopher_quality.min_words", "seed", "dedup.minhash.bands",
              "input.paths", "model.hidden_size", "data.tokens", "", ".", "a.b.c", "filter", "tokenize.stages.0.pii",
              "batch.steps")  # fmt: skip


@functools.cache
def _files() -> dict[str, bytes]:
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in sorted(_FOLDER.glob("*/*.yaml"))}


@functools.cache
def _whole(name: str) -> Any:
    """A config with every default written out, so that every key is there to be changed."""
    path = _FOLDER / name
    if name.startswith("pipeline"):
        return resolved_config(load_config(path))
    return resolved(load_sft_config(path) if "sft" in name else load_pretraining(path))


def _config(case: Case) -> str:
    draw = case.draw
    name = draw.choice(sorted(_files()))
    kind = draw.random()
    if kind < 0.4:
        data = mangle(draw, _files()[name], (*_files().values(), *TOKENS))
    else:
        tree = mangle_tree(draw, _whole(name) if kind < 0.8 else yaml.safe_load(_files()[name]))
        data = yaml.safe_dump(tree, allow_unicode=draw.random() < 0.5).encode("utf-8", "surrogatepass")
    path = case.file("c.yaml", data)
    overrides = [_override(case) for _ in range(draw.choice((0, 0, 0, 1, 2)))]
    try:
        config, again = _loaded(name, path, overrides)
    except TokenmillError as error:
        return f"{refused(error)} {_gist(str(error))}"
    promise(again == config, "does not read back as itself")
    return "config"


def _loaded(name: str, path: Path, overrides: list[str]) -> tuple[Any, Any]:
    """The config in a file, and the same from its resolved form."""
    if name.startswith("pipeline"):
        config = load_config(path, overrides=overrides)
        tree = resolved_config(config)
        fingerprint(tree)
        return tree, resolved_config(build(PipelineConfig, tree, "again", VARIANTS))
    load: Callable[..., Any] = load_sft_config if "sft" in name else load_pretraining
    tree = resolved(load(path, overrides))
    return tree, resolved(build(SftConfig if "sft" in name else PretrainConfig, tree, "again"))


def _override(case: Case) -> str:
    value = case.draw.choice(("3", "null", "{}", "[1, {a: b}]", "{", "*a", "!!bool x", "a: b: c", "", *ODD_TEXTS))
    return f"{case.draw.choice(_OVERRIDES)}={value}" if case.draw.random() < 0.9 else value


def _gist(message: str) -> str:
    """The error without what it quotes."""
    return " ".join(message.split(": ")[-1].split()[:3])


def _yaml(case: Case) -> str:
    """YAML of every kind of token, and overrides of what it holds."""
    draw = case.draw
    lines = [
        b"a: 1",
        b"b:",
        b"  - c",
        b"  - {d: e}",
        b"f: [1, 2]",
        b"? g",
        b": h",
        b"- i",
        b"j: &k",
        b"  l: *k",
        b"m: !!bool yes",
    ]
    data = b"\n".join(draw.choice((*lines, *TOKENS)) for _ in range(draw.randrange(1, 14)))
    path = case.file("c.yaml", mangle(draw, data, TOKENS) if draw.random() < 0.5 else data)
    try:
        apply_overrides(read_yaml(path), [_override(case), f"a.{draw.choice('abc0')}={draw.choice(ODD_VALUES)}"])
    except TokenmillError as error:
        return f"{refused(error)} {_gist(str(error))}"
    return "YAML"


TARGETS = (Target("configs", _config), Target("yaml", _yaml))
