"""Previous runs that a new one is compared with: what they kept, and whether it can be compared."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.contract.errors import ConfigError, InputError
from pipeline.contract.manifest import sha256_file
from pipeline.contract.run import RunRecord
from pipeline.dedup.config import DedupConfig
from pipeline.dedup.signature_index import INDEX_VERSION, signature_differences
from pipeline.engine.ledger import Commit, FileEntry, Ledger
from pipeline.engine.runner import Runner
from pipeline.steps.context import Part
from pipeline.steps.dedup import index as kept_index
from pipeline.steps.dedup.matches import PreviousRunGroup
from pipeline.steps.registry import TOKENIZE

_REBUILD = "build it again, with run.keep_index: true; for a copy that `tokenmill remove` made, give the run it is of"


def open_previous_runs(config: DedupConfig, *, dump: str, out: Path) -> tuple[PreviousRunGroup, ...]:
    """The groups of documents of all runs in `config.previous_runs`, in that order.

    Args:
        config: of the new run.
        dump: the new run's `input.dump`.
        out: the new run's folder.

    Raises:
        InputError: one of them is no run folder, is not done, or its index or documents are gone or cut short.
        ConfigError: its signatures were made in another way, or it is this run, or stands there twice.
    """
    groups: list[PreviousRunGroup] = []
    seen: set[Path] = {out.resolve()}
    for number, name in enumerate(config.previous_runs):
        place, folder = f"dedup.previous_runs[{number}]", Path(name).absolute()
        if folder.resolve() in seen:
            raise ConfigError(place, f"'{name}' is the new run itself, or is given twice", hint="leave it out")
        seen.add(folder.resolve())
        record = _record(place, name, folder)
        _refuse_incomparable(place, name, record.config, config, dump)
        groups += _groups(place, name, folder)
    return tuple(groups)


def refuse_damaged(runner: Runner, groups: Sequence[PreviousRunGroup]) -> None:
    """Read every file of previous runs, on the workers: a flipped bit there would be another result here, unseen.

    Raises:
        InputError: one of them is not as it was committed.
    """
    for name, damaged in runner.map(_damaged, groups):
        if damaged:
            raise InputError(
                "dedup.previous_runs", f"'{name}': {damaged} has changed since it was committed", hint=_REBUILD
            )


def _damaged(group: PreviousRunGroup) -> tuple[str, str]:
    """(the run, the first file of the group whose bytes have changed, or nothing)."""
    paths = (group.signature, *(part.path for part in group.parts))
    found = (path for path, sha256 in zip(paths, group.sha256, strict=True) if sha256_file(path) != sha256)
    return group.run, str(next(found, ""))


def _record(place: str, name: str, folder: Path) -> RunRecord:
    if not (folder / "run.json").is_file():
        problem = f"'{name}' is not a run folder (it has no run.json)"
        raise InputError(place, problem, hint="give the --output of an earlier build")
    record = RunRecord.read(folder)
    if record.state != "done":
        raise InputError(place, f"'{name}' is {record.state}, not done", hint="run that build to its end first")
    return record


def _refuse_incomparable(place: str, name: str, old: Mapping[str, Any], config: DedupConfig, dump: str) -> None:
    before = old.get("dedup")
    if before is None:
        raise ConfigError(place, f"'{name}' was built without dedup, so it has no signatures", hint=_REBUILD)
    differing = signature_differences(before, config)
    if differing:
        shown = "\n  ".join(differing)
        problem = f"'{name}' was built with other signatures, which cannot be compared:\n  {shown}"
        raise ConfigError(place, problem, hint="give this run the values of that one, or build that one again")
    other = old.get("input", {}).get("dump", "")
    if config.scope == "dump" and other != dump:
        problem = f"'{name}' is of dump '{other}', this run of '{dump}', and scope: dump compares within one dump only"
        raise ConfigError(place, problem, hint="build both with dedup.scope: global (or language)")


def _groups(place: str, name: str, folder: Path) -> Iterator[PreviousRunGroup]:
    commits = Ledger(folder, kept_index.STEP).committed()
    if not commits:
        raise InputError(place, f"'{name}' has no index of its documents", hint=_REBUILD)
    documents = {key: commit.file(TOKENIZE.folder) for key, commit in
                 Ledger(folder, TOKENIZE.name).committed().items()}  # fmt: skip
    for commit in commits.values():
        yield _group(place, name, folder, commit, documents)


def _group(
    place: str, name: str, folder: Path, commit: Commit, documents: Mapping[str, FileEntry | None]
) -> PreviousRunGroup:
    if commit.notes.get("version") != INDEX_VERSION:
        found = f"version {commit.notes.get('version')}, this tokenmill reads {INDEX_VERSION}"
        problem = f"the index of '{name}' has {found}"
        raise InputError(place, problem, hint=_REBUILD)
    signature = _existing_file(place, name, folder, commit.files[0])
    parts, digests = [], [commit.files[0].sha256]
    for key, rows in commit.notes["parts"]:
        entry = documents.get(key)
        if entry is None or entry.rows != rows:
            raise InputError(place, f"'{name}': documents part {key} is not the one that was indexed", hint=_REBUILD)
        parts.append(Part(key=key, path=_existing_file(place, name, folder, entry), rows=rows))
        digests.append(entry.sha256)
    return PreviousRunGroup(run=name, signature=signature, parts=tuple(parts), sha256=tuple(digests))


def _existing_file(place: str, name: str, folder: Path, entry: FileEntry) -> Path:
    path = folder / entry.path
    if not path.is_file():
        raise InputError(place, f"'{name}': {entry.path} is gone", hint=_REBUILD)
    if path.stat().st_size != entry.bytes:
        found = f"has {path.stat().st_size} bytes, committed were {entry.bytes}"
        raise InputError(place, f"'{name}': {entry.path} {found}", hint=_REBUILD)
    return path
