"""What is done, on disk: one small JSON per finished task, written last.

    OUT/steps/<step>/commits/<key>.json

A task writes its files under names unique to the attempt, renames them, and commits. What is committed is never
computed again; what is not is never seen. Two attempts at one task write the same bytes, so whose rename is last does
no harm, and the first commit stands. Plain files and renames only: no lock service, no database, nothing that a network
disk breaks.
"""

import concurrent.futures
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.contract.errors import InputError, IntegrityError
from pipeline.contract.manifest import parse_json, read_json, write_json
from pipeline.engine.task_clock import task_seconds

_READERS, _READ_AT_ONCE = 16, 64
"""Threads that read commits, and how many each reads before it hands them over."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FileEntry:
    """One file a task published."""

    path: str
    """Relative to OUT, with forward slashes."""
    bytes: int
    sha256: str
    rows: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """What one task did."""

    key: str
    """The task's name, such as `00017`: it alone says which part of the work this is."""
    files: tuple[FileEntry, ...] = ()
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Named numbers of records; those of a step add up over its commits."""
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """CPU seconds by stage. This and the next two alone differ between runs."""
    cpu_seconds: float = 0.0
    """Of the whole task, its page process included (but none that died)."""
    wall_seconds: float = 0.0
    """From the task's beginning to its commit."""
    notes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Whatever else the next step needs to know (small)."""

    def file(self, folder: str) -> FileEntry | None:
        """The published file that lies in `folder`, if there is one."""
        return next((entry for entry in self.files if entry.path.rpartition("/")[0] == folder), None)


@dataclasses.dataclass(frozen=True, slots=True)
class Ledger:
    """The commits of one step of one run."""

    out: Path
    step: str

    @property
    def folder(self) -> Path:
        """Where the commits lie."""
        return self.out / "steps" / self.step / "commits"

    def commit(self, commit: Commit) -> Commit:
        """Write the commit, atomically; the last thing a task does. Where another attempt was first, its own stands."""
        standing = self.find(commit.key)
        if standing is not None:
            return standing
        spent = task_seconds()  # none where the commit of another run is taken over: it keeps what it says
        if spent:
            commit = dataclasses.replace(commit, cpu_seconds=round(spent[0], 4), wall_seconds=round(spent[1], 4))
        return self.replace(commit)

    def replace(self, commit: Commit) -> Commit:
        """As `commit`, over one that stands: for a copy of a run that is changed, such as `remove` makes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        tree = json.loads(json.dumps(dataclasses.asdict(commit)))  # as it will be read back
        write_json(self.folder / f"{commit.key}.json", {**tree, "check": _check(tree)})
        return commit

    def find(self, key: str) -> Commit | None:
        """The commit of one task, if it is done."""
        path = self.folder / f"{key}.json"
        return _parse_commit(path, path.read_bytes()) if path.is_file() else None

    def committed(self) -> dict[str, Commit]:
        """Every commit by key, in the order of the keys.

        Raises:
            IntegrityError: a commit that cannot be read (they are written atomically, so the disk lost it).
        """
        return {commit.key: commit for commit in (_parse_commit(*item) for item in self._contents())}

    def readable(self) -> tuple[dict[str, Commit], list[str]]:
        """Every commit by key; those that the disk has damaged are removed: their tasks are not done.

        Returns:
            The commits in the order of their keys, and what was wrong with each one removed.
        """
        commits, problems = {}, []
        for path, content in self._contents():
            try:
                commit = _parse_commit(path, content)
            except (InputError, IntegrityError) as error:
                problems.append(" ".join(str(error).split()))
                path.unlink()
            else:
                commits[commit.key] = commit
        return commits, problems

    def undo(self, key: str) -> None:
        """The task is not done any more."""
        (self.folder / f"{key}.json").unlink(missing_ok=True)

    def announce(self, tasks: int) -> None:
        """Note how many tasks the step has, and, by the time of the note, when it was last begun."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self._note, {"tasks": tasks})

    def announced(self) -> tuple[int | None, float | None]:
        """(tasks of the step, when it was last begun in seconds since 1970); Nones where nothing was noted."""
        if not self._note.is_file():
            return None, None
        note = read_json(self._note)
        if not isinstance(note, dict) or not isinstance(note.get("tasks"), int):
            raise IntegrityError(f"{self._note}: does not say how many tasks there are; the next build writes it anew")
        return note["tasks"], self._note.stat().st_mtime

    def is_intact(self, commit: Commit) -> bool:
        """Whether every file of a commit is there in its size."""
        paths = ((self.out / entry.path, entry.bytes) for entry in commit.files)
        return all(path.is_file() and path.stat().st_size == size for path, size in paths)

    @property
    def _note(self) -> Path:
        return self.out / "steps" / self.step / "tasks.json"

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("*.json")) if self.folder.is_dir() else []

    def _contents(self) -> Iterator[tuple[Path, bytes | InputError]]:
        """Every commit's file with its bytes, or what kept it from being read; many at a time: disks may be far."""
        paths = self._paths()
        pieces = [paths[start : start + _READ_AT_ONCE] for start in range(0, len(paths), _READ_AT_ONCE)]
        with concurrent.futures.ThreadPoolExecutor(_READERS) as pool:
            for start in range(0, len(pieces), _READERS):
                for piece in pool.map(_read_files, pieces[start : start + _READERS]):
                    yield from piece


def _read_files(paths: list[Path]) -> list[tuple[Path, bytes | InputError]]:
    return [(path, _bytes_of(path)) for path in paths]


def _bytes_of(path: Path) -> bytes | InputError:
    try:
        return path.read_bytes()
    except OSError as error:
        return InputError(str(path), f"cannot be read: {error.strerror}")


def _parse_commit(path: Path, content: bytes | InputError) -> Commit:
    if isinstance(content, InputError):
        raise content
    tree = parse_json(path, content)
    try:
        check = tree.pop("check", None)
        commit = Commit(**{**tree, "files": tuple(FileEntry(**entry) for entry in tree["files"])})
        if check is not None and check != _check(tree):
            raise IntegrityError(f"{path}: has changed since it was written")
        if f"{commit.key}.json" != path.name:
            raise IntegrityError(f"{path}: is the commit of the task {commit.key}")
        for entry in commit.files:
            if not _inside(entry.path):  # run folders of others are data, and name no file of this machine
                raise IntegrityError(f"{path}: names a file outside its run folder: {entry.path!r}")
    except (KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"{path}: not a commit: {error}") from error
    return commit


def _inside(name: str) -> bool:
    """Whether a name relative to a folder stays in it, as it is written; links are the folder's owner's."""
    return bool(name) and not name.startswith("/") and ".." not in name.split("/")


def _check(tree: Mapping[str, Any]) -> str:
    """64 bits over a commit, against a disk that forgets."""
    text = json.dumps(tree, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def committed_files(out: Path) -> dict[str, FileEntry]:
    """Every file that some task of a run committed, by path."""
    steps = [folder.parent.name for folder in sorted((out / "steps").glob("*/commits"))]
    commits = [commit for step in steps for commit in Ledger(out, step).committed().values()]
    return {entry.path: entry for commit in commits for entry in commit.files}


def add_counts(commits: Mapping[str, Commit]) -> dict[str, int]:
    """The sum of all counts of a step, keys sorted."""
    totals: dict[str, int] = {}
    for commit in commits.values():
        for name, number in commit.counts.items():
            totals[name] = totals.get(name, 0) + number
    return dict(sorted(totals.items()))
