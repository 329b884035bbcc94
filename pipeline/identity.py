"""The identity of a run: what decides its bytes, and whether an existing folder is the same run."""

import concurrent.futures
import dataclasses
import datetime
import importlib.metadata
import platform
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pipeline
from pipeline.config import PipelineConfig, resolved_config
from pipeline.contract.config import build, differences, fingerprint
from pipeline.contract.errors import ConfigError
from pipeline.contract.manifest import sha256_file
from pipeline.contract.run import InputFile, RunRecord
from pipeline.sources.listing import Input
from pipeline.stages.support.language_warnings import language_warnings
from pipeline.stages.support.user_stages import sources, user_stage_names
from pipeline.steps.reuse import can_reuse
from pipeline.steps.run_differences import (
    input_changes,
    named_files,
    named_previous_runs,
    source_changes,
    without_input,
)
from pipeline.storage.files import is_remote
from pipeline.storage.remote import RemoteSettings

# Another version of one of these may turn the same page into another text, or the same text into other ids.
LIBRARIES = ("trafilatura", "resiliparse", "fastwarc", "lxml", "fasttext-numpy2-wheel", "presidio-analyzer", "ftfy",
             "numpy", "pyarrow", "tokenizers", "datatrove")  # fmt: skip
_MAX_SHOWN = 12
_PUBLIC_OPTIONS = ("anon", "requester_pays", "region")


def identify_run(
    config: PipelineConfig,
    out: Path,
    inputs: Sequence[Input],
    known: Sequence[InputFile] = (),
) -> RunRecord:
    """The record of this run, not yet written: a new folder's, or an existing folder's if it is the same run.

    Args:
        config: of the build.
        out: the run folder.
        inputs: what is read.
        known: inputs of a previous run, which are not read again to find their SHA-256 if they are unchanged.

    Raises:
        ConfigError: the folder holds something else; the message names what changed.
    """
    old = RunRecord.read(out) if (out / "run.json").is_file() else None
    if old is not None and old.state != "done" and not any((out / "steps").glob("*/commits/*.json")):
        return _identify(config, inputs, old.inputs)  # it ended before it had done anything: whatever was changed since
    if old is None and out.is_dir() and any(path.name not in {".lock", "logs"} for path in out.iterdir()):
        raise _no_run_folder(out, inputs)
    new = _identify(config, inputs, old.inputs if old else known)
    if old is not None:
        _refuse_changes(out, old, new)
        if old.state == "done":
            return old
        new = dataclasses.replace(new, started=old.started)
    return new


def _no_run_folder(out: Path, inputs: Sequence[Input]) -> ConfigError:
    local = (item.path for item in inputs if not is_remote(item.path))
    held = next((path for path in local if Path(path).resolve().is_relative_to(out.resolve())), None)
    if held is not None:
        return ConfigError(str(out), f"holds the input {held}, and is no run folder", hint="give another --output")
    return ConfigError(str(out), "exists and is no run folder", hint="give another --output, or empty it")


def utc_now() -> str:
    """The time, UTC, ISO 8601; for run.json alone: nothing else a run writes knows the time."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _identify(config: PipelineConfig, inputs: Sequence[Input], known_inputs: Sequence[InputFile]) -> RunRecord:
    tree = resolved_config(config)
    decides = {key: value for key, value in tree.items() if key != "run"}
    files = {str(path): sha256_file(path) for path in sorted(set(named_files({**decides, "input": None})))}
    files |= {name: RunRecord.read(Path(name)).fingerprint for name in named_previous_runs(tree)}
    places = {name: _absolute(name) for name in files}
    input_files = _identify_inputs(inputs, known_inputs)
    stage_sources = {name: sources(name) for name in sorted(set(user_stage_names(decides)))}
    identity = {"config": without_input(decides), "files": files, "versions": _versions(), "sources": stage_sources,
                "inputs": [list(item.identity()) for item in input_files]}  # fmt: skip
    return RunRecord(
        version=pipeline.__version__, versions=_versions(), config=_without_secrets(tree),
        fingerprint=fingerprint(identity), seed=config.seed, inputs=tuple(input_files),
        files=files, places=places, sources=stage_sources, state="running", started=utc_now(),
        warnings=tuple(language_warnings(config.extract, config.filter)),
    )  # fmt: skip


def _without_secrets(tree: Mapping[str, Any]) -> dict[str, Any]:
    """run.json and the report are for showing around: storage options may hold keys, so only their names stay."""
    run, remote = tree["run"], tree["run"]["remote"]
    options = {name: value if name in _PUBLIC_OPTIONS else "(not shown)" for name, value in remote["options"].items()}
    return {**tree, "run": {**run, "remote": {**remote, "options": options}}}


def remote_settings(record: RunRecord, options: Mapping[str, object] | None = None) -> RemoteSettings:
    """The settings a run was built with, with `options` instead of those that run.json does not show."""
    run = record.config.get("run")
    saved = build(RemoteSettings, run.get("remote", {}) if isinstance(run, dict) else {}, "run.json: config.run.remote")
    shown = {name: value for name, value in saved.options.items() if value != "(not shown)"}
    return dataclasses.replace(saved, options={**shown, **(options or {})})


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "tokenmill": pipeline.__version__}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _identify_inputs(inputs: Sequence[Input], known_files: Sequence[InputFile]) -> list[InputFile]:
    """Inputs with their SHA-256 (local) or etag; a local file unchanged since the last time is not read again."""
    known = {item.path: item for item in known_files}
    with concurrent.futures.ThreadPoolExecutor() as pool:  # hashing releases the GIL
        return list(pool.map(lambda item: _identify_input(item, known.get(item.path)), inputs))


def _identify_input(item: Input, known: InputFile | None) -> InputFile:
    path = Path(item.path)
    if not path.is_file():
        return InputFile(path=item.path, bytes=item.bytes, etag=item.etag)
    status = path.stat()
    absolute = _absolute(item.path)
    # The same relative path in another folder is another file, though size and time may agree.
    if known and (known.absolute, known.bytes, known.modified) == (absolute, status.st_size, status.st_mtime_ns):
        return known
    return InputFile(path=item.path, absolute=absolute, bytes=status.st_size, sha256=sha256_file(path),
                     modified=status.st_mtime_ns)  # fmt: skip


def _absolute(path: str) -> str:
    """Where a local file is, links among its folders followed; its own name stays, as it says what the file is."""
    place = Path(path)
    return str(place.parent.resolve() / place.name)


def _refuse_changes(out: Path, old: RunRecord, new: RunRecord) -> None:
    if old.fingerprint == new.fingerprint:
        return
    changes = [
        *differences(without_input(_decides(old)), without_input(_decides(new))),
        *(f"file {line}" for line in differences(dict(old.files), dict(new.files))),
        *source_changes(old, new),
        *(f"version of {line}" for line in differences(dict(old.versions), dict(new.versions))),
        *input_changes(old.inputs, new.inputs),
    ]
    shown = "\n  ".join(
        changes[:_MAX_SHOWN] + ([f"... {len(changes) - _MAX_SHOWN} more"] if len(changes) > _MAX_SHOWN else [])
    )
    hint = "give another --output for the new run, or undo the change to go on with this one"
    if can_reuse(out, old, new):
        hint += f"; `--reuse {shlex.quote(str(out))} --output NEW` takes over the steps that do not change"
    raise ConfigError(str(out), f"holds a run with another config or input; what changed:\n  {shown}", hint=hint)


def _decides(record: RunRecord) -> dict[str, Any]:
    return {key: value for key, value in record.config.items() if key != "run"}
