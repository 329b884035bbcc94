"""The config of a build: what `configs/pipeline/*.yaml` may say.

Everything but `run` decides what comes out, and is part of the run's fingerprint.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import pipeline.stages
from pipeline.contract.config import FLATTEN, Registry, build, resolved
from pipeline.contract.errors import ConfigError
from pipeline.contract.keys import apply_overrides
from pipeline.contract.yaml_text import read_yaml
from pipeline.dedup.config import DedupConfig
from pipeline.document import QualityStage, Stage
from pipeline.engine.settings import RunSettings
from pipeline.sources.listing import CrawlListing
from pipeline.sources.rows import Columns
from pipeline.sources.screen import Screen
from pipeline.stages.payload_digest import PayloadDigest, refuse_misplaced
from pipeline.stages.support.user_stages import StageNotFound, add_stages_path
from pipeline.steps.registry import OPTIONAL
from pipeline.steps.tokenize.config import TokenizeConfig

VARIANTS: dict[type, Registry] = {cast(type, Stage): cast(Registry, pipeline.stages)}


def _sections() -> dict[str, type]:
    return {step.name: step.settings_class() for step in OPTIONAL}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class InputConfig:
    """What to read."""

    paths: tuple[str, ...] = ()
    """Files, folders, globs, s3:// and https:// addresses; read in the order of their names."""
    format: Literal["auto", "warc", "wet", "parquet", "jsonl"] = "auto"
    """What the inputs are; `auto` goes by their names."""
    dump: str = ""
    """Name of the crawl, stored with every document."""
    columns: Columns = Columns()
    """Of parquet and jsonl inputs: which column is what."""
    listing: CrawlListing | None = None
    """Common Crawl's own list of a crawl's files, instead of paths."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PipelineConfig:
    """One build: WARC files to token shards."""

    input: InputConfig = InputConfig()
    """What to read; `--input` overrides its paths."""
    screen: Screen = Screen()
    """Step 1, before any parsing: which records are pages, and how their bytes become characters."""
    extract: tuple[Stage, ...] = ()
    """Step 1: page to text. Stages run in the order given; put cheap ones first."""
    filter: tuple[Stage, ...] = ()
    """Step 2: quality rules. Rerun without extracting again."""
    dedup: DedupConfig | None = DedupConfig()
    """Step 3: exact and near duplicates; null keeps them all."""
    optional: Mapping[str, object] = dataclasses.field(default_factory=dict, metadata={FLATTEN: _sections})
    """Sections of the optional steps by name, each a key beside the others; null leaves its step out."""
    tokenize: TokenizeConfig = TokenizeConfig()
    """Step 4: documents to token shards."""
    seed: int = 0
    """Of the shuffle, and of every other choice by chance."""
    run: RunSettings = RunSettings()
    """Where and how the run is executed; never changes what comes out."""

    def __post_init__(self) -> None:
        if not -(1 << 63) <= self.seed < 1 << 63:
            raise ValueError(f"seed: must be at least -2^63 and below 2^63, got {self.seed}")
        self._refuse_unknown_steps()
        self._refuse_uncallable()
        stages = (*self.extract, *self.filter, *self.tokenize.stages)
        names = [pipeline.stages.name_of(type(stage)) for stage in stages if isinstance(stage, QualityStage)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"{twice}: stands twice, and its raw values can be stored only once; leave one out")
        if self.tokenize.rehydrate and not (self.dedup and self.dedup.remove):
            raise ValueError("tokenize.rehydrate: repeats the one document that dedup keeps of a cluster, so it needs "
                             "a dedup, with remove: true")  # fmt: skip
        refuse_misplaced(self.extract, (*self.filter, *self.tokenize.stages))
        self._refuse_unwanted_drops()

    def _refuse_unknown_steps(self) -> None:
        """A section that no step reads; the loader has looked at those of a file already."""
        classes = _sections()
        for name, section in self.optional.items():
            if name not in classes:
                raise ValueError(f"optional: there is no optional step '{name}'; known: {', '.join(classes)}")
            if section is not None and not isinstance(section, classes[name]):
                raise ValueError(f"optional.{name}: must be a {classes[name].__name__}, got {section!r}")

    def _refuse_uncallable(self) -> None:
        """What cannot be called with a document is no stage; said here, it is said before any page is read."""
        sections = {"extract": self.extract, "filter": self.filter, "tokenize.stages": self.tokenize.stages}
        for section, stages in sections.items():
            for number, stage in enumerate(stages):
                found: object = stage
                if isinstance(found, type):
                    name = pipeline.stages.name_of(found)
                    raise ValueError(f"{section}[{number}]: {name} is a class; a stage is an instance of one: {name}()")
                if not callable(found):
                    name = pipeline.stages.name_of(type(found))
                    raise ValueError(f"{section}[{number}]: {name} cannot be called with a document; "
                                     "a stage has a method __call__(self, doc)")  # fmt: skip

    def _refuse_unwanted_drops(self) -> None:
        """What keeps every duplicate must not lose some of them before."""
        if any(isinstance(stage, PayloadDigest) for stage in self.extract):
            if self.dedup is None:
                raise ValueError("payload_digest: drops exact copies, and dedup: null keeps them; leave it out")
            if not self.dedup.remove:
                raise ValueError("payload_digest: drops exact copies, and dedup.remove: false keeps them; leave it out")
            if self.tokenize.rehydrate and any(getattr(stage, "scope", "") == "split" for stage in self.extract):
                raise ValueError("payload_digest: with scope: split no document knows how many copies it had, which "
                                 "tokenize.rehydrate repeats it by; set scope: run, or leave it out")  # fmt: skip


def load_config(
    path: str | Path,
    *,
    overrides: Sequence[str] = (),
    inputs: Sequence[str] = (),
    output: str | None = None,
    local: bool = False,
    stages: str | None = None,
) -> PipelineConfig:
    """The config file at `path`, with what the command line changes.

    Raises:
        ConfigError: anything the file or an override says that cannot be run.
    """
    path = str(path)
    tree = apply_overrides(read_yaml(path), overrides)
    given = (("input", "paths", list(inputs)), ("run", "output", output), ("run", "local", local),
             ("run", "stages_path", stages))  # fmt: skip
    for section, key, value in given:
        if value:
            if not isinstance(tree.setdefault(section, {}) or {}, dict):
                raise ConfigError(f"{path}: {section}", "expected a mapping of settings")
            tree[section] = {**(tree[section] or {}), key: value}
    try:
        config = read_config(tree, path)
    except ConfigError as error:
        found = _near(Path(path).parent, error.__cause__)
        if found is None:
            raise
        hint = f"{found} is there: add --stages {found.parent}"
        raise ConfigError(error.place, error.problem, known=error.known, hint=hint) from error
    _refuse_odd_names(config, path)
    return config


def _refuse_odd_names(config: PipelineConfig, place: str) -> None:
    """Refuse names that no file can have, or that run.json and the tables cannot hold."""
    for name in filter(None, (*config.input.paths, config.run.output)):
        if "\0" in name:
            raise ConfigError(place, f"no file can be named {name!r}: it has a NUL character")
    if config.run.output and re.search("[\ud800-\udfff]", config.run.output):
        raise ConfigError(f"{place}: run.output", f"{config.run.output!r} is not UTF-8")


def _near(folder: Path, cause: BaseException | None) -> Path | None:
    """The module whose absence is the cause of an error, if it lies beside the config or one folder below."""
    name = cause.module if isinstance(cause, StageNotFound) else ""
    if not name.isidentifier():
        return None
    packages = sorted({path.parent for path in folder.glob(f"{name}/*.py") if path.stem != name})
    return next(iter([*folder.glob(f"{name}.py"), *packages, *sorted(folder.glob(f"*/{name}.py"))]), None)


def read_config(tree: Any, place: str) -> PipelineConfig:
    """A config as YAML or run.json hold it, its stages found where its `run.stages_path` says.

    The path is made absolute, so that the run's stages are found from any folder later.

    Raises:
        ConfigError: anything it says that cannot be run; the message starts with `place`.
    """
    run = tree.get("run") if isinstance(tree, dict) else None
    if isinstance(run, dict) and isinstance(run.get("stages_path"), str):
        add_stages_path(run["stages_path"], f"{place}: run.stages_path")
        tree = {**tree, "run": {**run, "stages_path": str(Path(run["stages_path"]).resolve())}}
    return build(PipelineConfig, tree, place, VARIANTS)


def resolved_config(config: PipelineConfig) -> dict[str, Any]:
    """The config as plain data, every default written out."""
    tree: dict[str, Any] = resolved(config, VARIANTS)
    return tree
