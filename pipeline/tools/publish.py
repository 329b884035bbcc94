"""A finished run folder on a store (or another disk), where readers see all of it or nothing.

Every file is put as a whole, several at a time and tried again as `run.remote` says; `tokens/manifest.json` and then
`run.json` come last, so that a folder without `run.json` is no run. What is there already, and is what was put there,
is not sent again: a publication that was broken off goes on where it stopped.

The commits of the steps go along, so that `verify` holds on the copy; `published.json` says how many of the
intermediate files do not.
"""

import concurrent.futures
import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pipeline.contract import contamination
from pipeline.contract.errors import InputError, IntegrityError, UserError
from pipeline.contract.manifest import parse_json, parse_record, read_json, sha256_file, write_json
from pipeline.contract.run import PUBLISHED, Publication, RunRecord
from pipeline.engine.ledger import committed_files
from pipeline.storage.files import copy_in, exists, is_remote, open_read, read_bytes, stat, write_atomic
from pipeline.storage.remote import RemoteSettings
from pipeline.tools.verify import expected_files

FOLDERS = ("documents", "dropped", "quarantine", "tokens", contamination.FOLDER)
LEDGERS = ("steps/*/commits/*.json", "steps/*/tasks.json")
"""What of OUT/steps is always sent."""
LAST = ("tokens/manifest.json", "run.json")
THREADS = 8
_BLOCK = 1 << 22
R = TypeVar("R")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """What a publication did."""

    files: int
    bytes: int
    sent: int
    """Files sent this time; the others were there."""
    left_out: int
    """Intermediate files that are not there, as `steps` was not asked for, now or earlier."""
    checked: bool
    """Whether every byte was read back."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Sent:
    """What is known of a file that was put: the store names the content by its etag."""

    bytes: int
    modified: int
    etag: str | None


def publish(
    out: Path,
    target: str,
    settings: RemoteSettings,
    *,
    steps: bool = False,
    check: bool = False,
    threads: int = THREADS,
) -> Published:
    """Copy a finished run to `target`.

    Args:
        out: the run folder.
        target: a folder or an address such as `s3://bucket/run`; holds nothing, or an earlier publication of this run.
        settings: of the store.
        steps: the intermediate files of OUT/steps too. Without, those that an earlier publication sent stay there.
        check: read every file back and compare its SHA-256.
        threads: files under way at a time.

    Raises:
        UserError: the run is not done, the target is empty, lies in the run folder or holds another run, `steps` are
            asked for of a run that was published without, the store refuses.
        IntegrityError: a file of the run is missing or cut short; with `check`, it or what is read back is not what was
            committed.
    """
    record = RunRecord.read(out)
    if record.state != "done":
        raise UserError(
            str(out), f"is {record.state}, and only a finished run is published", hint="build it to its end"
        )
    target = _outside(out, target)
    _refuse_other(record, target, settings)
    files = _files(out, steps=steps)
    _refuse_incomplete(out, record, files, steps=steps)
    note = _publication(out, record, target, settings, left_out=len(_files(out, steps=True)) - len(files))
    content = json.dumps(dataclasses.asdict(note), indent=1).encode()
    known = _known(out, target)
    wanted = {entry.path: entry.sha256 for entry in committed_files(out).values()} | dict(record.sealed)

    def send(name: str) -> bool:
        return _send(out, target, name, settings, known, wanted.get(name))

    def read_back(name: str) -> None:
        _check(out, target, name, settings, known, wanted.get(name))

    try:
        sent = sum(_all(send, [name for name in files if name not in LAST], threads))
        sent += _send_note(f"{target}/{PUBLISHED}", content, settings)
        sent += sum(send(name) for name in LAST)
        if check:
            _all(read_back, files, threads)
    finally:
        write_json(_note(out, target), {name: dataclasses.asdict(entry) for name, entry in sorted(known.items())})
    if check and read_bytes(f"{target}/{PUBLISHED}", settings) != content:
        raise IntegrityError(f"{target}/{PUBLISHED}: is not what was sent")
    size = sum((out / name).stat().st_size for name in files) + len(content)
    return Published(files=len(files) + 1, bytes=size, sent=sent, left_out=note.left_out, checked=check)


def _outside(out: Path, target: str) -> str:
    """The target, absolute: a place that can be written to, outside the run folder."""
    if target.lower().startswith(("http://", "https://")):
        raise UserError(target, "cannot be written to", hint="give a folder, or an address such as s3://bucket/run")
    if not target.strip():
        raise UserError("TARGET", "is empty", hint="give a folder, or an address such as s3://bucket/run")
    target = target.rstrip("/") if is_remote(target) else str(Path(target).absolute())
    if not is_remote(target) and Path(target).resolve().is_relative_to(out.resolve()):
        raise UserError(target, f"lies in the run folder {out} itself", hint="give a folder outside it")
    return target


def _files(out: Path, *, steps: bool) -> list[str]:
    """Names relative to OUT, sorted; the log and the lock stay at home."""
    patterns = [*(f"{folder}/**/*" for folder in FOLDERS), *(["steps/**/*"] if steps else LEDGERS), "*"]
    found = {path for pattern in patterns for path in out.glob(pattern) if path.is_file()}
    names = (path.relative_to(out).as_posix() for path in found if not path.name.startswith("."))
    return sorted(name for name in names if name != PUBLISHED)


def _publication(out: Path, record: RunRecord, target: str, settings: RemoteSettings, *, left_out: int) -> Publication:
    """What the target will hold: never less than an earlier publication of this run, as nothing is taken away there."""
    source = Publication.read(out)
    if source and source.left_out:  # `out` is a copy itself
        left_out += source.left_out
    place = f"{target}/{PUBLISHED}"
    new = Publication(fingerprint=record.fingerprint, left_out=left_out)
    if not exists(place, settings):
        return new
    try:
        old = parse_record(Publication, parse_json(Path(place), read_bytes(place, settings)), Path(place), "a record")
    except InputError:
        return new
    return old if old.fingerprint == new.fingerprint and old.left_out == 0 else new


def _send_note(place: str, content: bytes, settings: RemoteSettings) -> bool:
    """Put published.json, unless it is there; whether it was sent."""
    if exists(place, settings) and read_bytes(place, settings) == content:
        return False
    write_atomic(place, content, settings)
    return True


def _refuse_incomplete(out: Path, record: RunRecord, files: list[str], *, steps: bool) -> None:
    """Every file that readers need is there in its size; `--check` and `verify` read the bytes too."""
    source = Publication.read(out)
    if steps and source and source.left_out:
        problem = "was published without its intermediate documents, so it has none to send"
        raise UserError(str(out), problem, hint="leave --steps out, or give the folder of the build")
    there = set(files)
    wanted = {*FOLDERS, "steps"} if steps else FOLDERS
    entries = [entry for entry in expected_files(out, record) if entry.path.partition("/")[0] in wanted]
    problems = [f"{name} is missing" for name in LAST if name not in there]
    if record.check not in (None, record.checksum()):
        problems.append("run.json has changed since it was written")
    if not entries:
        problems.append("no commit is left that says what belongs to it")
    for entry in entries:
        if entry.path not in there:
            problems.append(f"{entry.path} is missing")
        elif (out / entry.path).stat().st_size != entry.bytes:
            problems.append(f"{entry.path} has {(out / entry.path).stat().st_size} bytes, committed were {entry.bytes}")
    if problems:
        shown = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
        raise IntegrityError(f"{out}: {shown}; nothing was published; `tokenmill verify` tells all that is damaged")


def _refuse_other(record: RunRecord, target: str, settings: RemoteSettings) -> None:
    place = f"{target}/run.json"
    if not exists(place, settings):
        return
    try:
        there = json.loads(read_bytes(place, settings))["fingerprint"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(place, f"is no run record: {error}", hint="give another target") from error
    if there != record.fingerprint:
        raise UserError(target, "holds another run", hint="give another target, or remove that one first")


def _known(out: Path, target: str) -> dict[str, _Sent]:
    if not _note(out, target).is_file():
        return {}
    return {name: _Sent(**entry) for name, entry in read_json(_note(out, target)).items()}


def _note(out: Path, target: str) -> Path:
    folder = out / "logs" / "published"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{hashlib.sha256(target.encode()).hexdigest()[:16]}.json"


def _send(
    out: Path, target: str, name: str, settings: RemoteSettings, known: dict[str, _Sent], wanted: str | None
) -> bool:
    """Put one file, unless it is there; whether it was sent. One whose SHA-256 is not `wanted` any more is refused."""
    local, place = out / name, f"{target}/{name}"
    status = local.stat()
    before = known.get(name)
    if before and (before.bytes, before.modified) == (status.st_size, status.st_mtime_ns) and exists(place, settings):
        there = stat(place, settings)
        if (there.bytes, there.etag) == (before.bytes, before.etag):
            return False
    if wanted and sha256_file(local) != wanted:
        raise IntegrityError(f"{local}: has changed since it was committed (sha256 differs)")
    copy_in(local, place, settings)
    there = stat(place, settings)
    if there.bytes != status.st_size:
        raise IntegrityError(f"{place}: {there.bytes} bytes are there, {status.st_size} were sent")
    known[name] = _Sent(bytes=there.bytes, modified=status.st_mtime_ns, etag=there.etag)
    return True


def _check(
    out: Path, target: str, name: str, settings: RemoteSettings, known: dict[str, _Sent], wanted: str | None
) -> None:
    """Read a file back; one that is not what was sent is forgotten, so that the next publication sends it again."""
    here = sha256_file(out / name)
    if wanted and wanted != here:
        raise IntegrityError(f"{out / name}: has changed since it was committed (sha256 differs)")
    digest = hashlib.sha256()
    with open_read(f"{target}/{name}", settings) as source:
        while block := source.read(_BLOCK):
            digest.update(block)
    if digest.hexdigest() != here:
        known.pop(name, None)
        problem = f"sha256 is {digest.hexdigest()}, that of {out / name} is {here}"
        raise IntegrityError(f"{target}/{name}: {problem}; publish again, and it is sent anew")


def _all(act: Callable[[str], R], names: list[str], threads: int) -> list[R]:
    """Results of `act` for every name; the first failure ends it, and is raised when those under way are done."""
    with concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="publish") as pool:
        futures = [pool.submit(act, name) for name in names]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
