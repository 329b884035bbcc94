"""`run.json`: what a run was given, and what came of it."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pipeline.contract.errors import InputError
from pipeline.contract.manifest import parse_record, read_json, sha256_file, write_json

State = Literal["running", "done", "failed"]
SEALED = ("tokens/manifest.json", "tokens/tokenizer.json", "report.html", "dropped/part-none.parquet",
          "quarantine/part-none.parquet")  # fmt: skip
PUBLISHED = "published.json"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class InputFile:
    """One input."""

    path: str
    """As given: the tables keep this one, so that their bytes do not depend on where the build was run."""
    absolute: str | None = None
    """Where a local file was; None for a remote one."""
    bytes: int | None = None
    """Size; None where a server does not tell."""
    sha256: str | None = None
    etag: str | None = None
    """Of remote inputs, instead of the SHA-256."""
    modified: int | None = None
    """Time of last change (ns since 1970) of a local file: unchanged, its SHA-256 need not be computed again."""

    def identity(self) -> tuple[Any, ...]:
        """Equal for equal content."""
        return (self.path, self.bytes, self.sha256 or self.etag)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """The conservation law: read = kept + sum(dropped) + quarantined."""

    records: int = 0
    """Every record met."""
    read: int = 0
    """Those that are candidates: responses, conversions, rows."""
    kept: int = 0
    quarantined: int = 0
    tokens: int = 0
    """In the shards, repeats included."""
    repeats: int = 0
    """Documents written to the shards again (rehydration): the shards hold `kept + repeats`."""
    dropped: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """`step.stage.reason` -> documents."""
    gaps: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Stretches of input that were no record, by cause."""

    @property
    def balanced(self) -> bool:
        """Whether the law holds."""
        return self.read == self.kept + sum(self.dropped.values()) + self.quarantined


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Publication:
    """`published.json`: a run folder is the copy of another that `publish` made, and what of that one is not here."""

    fingerprint: str
    """Of the run."""
    left_out: int
    """Files of OUT/steps that were not sent, as nobody asked for them; 0: all of them were."""

    @classmethod
    def read(cls, out: Path) -> "Publication | None":
        """That of a run folder; None for one that a build wrote.

        Raises:
            InputError: there is one that is damaged.
        """
        path = out / PUBLISHED
        return parse_record(cls, read_json(path), path, "the record of a publication") if path.is_file() else None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """`run.json`."""

    version: str
    versions: Mapping[str, str]
    """Of Python and of the libraries that the output depends on."""
    config: Mapping[str, Any]
    """As resolved: every default written out."""
    fingerprint: str
    """SHA-256 over all that the output depends on: config without `run`, the files it names, the code
    of the user's own stages, versions, inputs."""
    seed: int
    inputs: tuple[InputFile, ...]
    files: Mapping[str, str]
    """Files that the config names (tokenizer, lists, benchmarks) -> SHA-256."""
    state: State
    places: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Files and previous runs that the config names, as given -> absolute path; no part of the fingerprint."""
    sources: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    """Code of the stages that are not tokenmill's: dotted name -> file -> SHA-256."""
    totals: Totals = Totals()
    started: str | None = None
    finished: str | None = None
    error: str | None = None
    """Why it failed, if it did."""
    warnings: tuple[str, ...] = ()
    """What was said at the start: settings that fit together so badly that someone would ask why."""
    sealed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """SHA-256 of the files of a finished run that no task committed: manifest, tokenizer, report."""
    check: str | None = None
    """64 bits over all of this."""

    @classmethod
    def read(cls, out: Path) -> "RunRecord":
        """The record of a run folder.

        Raises:
            InputError: `out` is no run folder.
        """
        path = out / "run.json"
        if not path.is_file():
            raise InputError(str(out), "is not a run folder (it has no run.json)", hint="give the --output of a build")
        return parse_record(cls, read_json(path), path, "a run record")

    def write(self, out: Path) -> None:
        """Write `out/run.json`, atomically; that of a finished run seals the files beside it."""
        paths = [name for name in SEALED if (out / name).is_file()] if self.state == "done" else []
        sealed = dataclasses.replace(self, sealed={name: sha256_file(out / name) for name in paths}, check=None)
        write_json(out / "run.json", dataclasses.asdict(dataclasses.replace(sealed, check=sealed.checksum())))

    def damage(self, out: Path) -> list[str]:
        """What of a finished run's record and of the files it seals is not as it was written; `verify` tells more."""
        if self.state != "done":
            return []
        problems = [] if self.check in (None, self.checksum()) else ["run.json has changed since it was written"]
        for name, sha256 in self.sealed.items():
            if not (out / name).is_file():
                problems.append(f"{name} is missing")
            elif sha256_file(out / name) != sha256:
                problems.append(f"{name} has changed since it was written")
        return problems

    def located(self) -> dict[str, Any]:
        """The config with the files it names by their absolute paths, where they still are: the working directory of
        whoever looks at a run is not that of the build."""
        return {key: tree if key in ("input", "run") else _located(tree, self.places)
                for key, tree in self.config.items()}  # fmt: skip

    def previous_run(self, name: str) -> Path | None:
        """The folder of a previous run that the config names (`dedup.previous_runs`); None where it is gone."""
        place = Path(self.places.get(name, name))
        if (place / "run.json").is_file():
            return place
        # Moved together with this one, perhaps: what has the same name here must be the same run.
        folder = Path(name)
        is_there = (folder / "run.json").is_file() and RunRecord.read(folder).fingerprint == self.files.get(name)
        return folder if is_there else None

    def checksum(self) -> str:
        """What `check` should be."""
        tree = {**dataclasses.asdict(self), "check": None}
        text = json.dumps(tree, sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _located(tree: Any, places: Mapping[str, str]) -> Any:
    if isinstance(tree, Mapping):
        return {key: _located(value, places) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_located(value, places) for value in tree]
    # A word such as `auto` is no path, even where the folder of the build had a file of that name.
    is_path = isinstance(tree, str) and tree in places and ("/" in tree or "." in tree)
    return places[tree] if is_path and Path(places[tree]).exists() else tree
