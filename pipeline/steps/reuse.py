"""`tokenmill build --reuse OLD`: steps that a previous run has done already are taken over, not computed again.

A step's files depend on the inputs, the versions of the libraries, the step's own config section and those of the steps
before it. Where all of these are equal the committed files of OLD are the bytes this run would write: they are linked
into the new folder (copied, across file systems) together with their commits, and the build goes on from there as if it
had been interrupted. The last step is always run.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.contract.config import differences
from pipeline.contract.errors import ConfigError, InputError, IntegrityError
from pipeline.contract.run import RunRecord
from pipeline.engine.ledger import Commit, FileEntry, Ledger
from pipeline.stages.support.user_stages import user_stage_names
from pipeline.steps.extract import exact_copies
from pipeline.steps.registry import EXTRACT, FILTER, STEPS, Step
from pipeline.steps.run_differences import (
    input_changes,
    named_files,
    named_previous_runs,
    source_changes,
    without_input,
)
from pipeline.storage.files import link_or_copy

REUSABLE = STEPS[:-1]
"""The last step is always run."""
BY_INPUT = tuple(step.name for step in REUSABLE if step.task_per_input)
_MAX_SHOWN = 12
_NAMES = {exact_copies.DIGESTS: "page digests"}
Keys = Mapping[str, str]
"""Key of a task in the new run -> its key in the old one."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What of a previous run can be taken over."""

    source: Path
    """Its run folder."""
    ledgers: Mapping[str, Keys]
    """Ledger -> the tasks to take over."""
    inputs: int
    """Of the new run."""
    stopped_by: tuple[str, ...]
    """Why the step after them has to be run again; empty if that is the last one, which always is."""

    def describe(self) -> str:
        """For people."""
        steps = [step.name for step in REUSABLE if step.name in self.ledgers] or list(self.ledgers)
        whole = [name for name in steps if name not in BY_INPUT and name not in _NAMES]
        counted = [
            f"{_NAMES.get(name, name)} of {len(self.ledgers[name]):,} of {self.inputs:,} inputs"
            for name in steps
            if name not in whole
        ]
        why = "; ".join(self.stopped_by[:_MAX_SHOWN])
        return f"taken over from {self.source}: {', '.join(counted + whole)}" + (f" (then {why})" if why else "")


def plan_reuse(source: Path, out: Path, record: RunRecord) -> Plan:
    """Which tasks of the run folder `source` cannot differ in the run `record`, about to begin in `out`.

    Raises:
        InputError: `source` is no run folder.
        ConfigError: nothing of the first step can be taken over; the message names why.
    """
    old = RunRecord.read(source)
    if source.resolve() == out.resolve():
        raise ConfigError(f"--reuse {source}", "is the run folder itself", hint="give another --output")
    try:
        return _plan(source, old, record)
    except (InputError, IntegrityError) as error:
        hint = "build without --reuse; or build that run again, which makes anew what is damaged"
        raise ConfigError(f"--reuse {source}", f"is damaged: {error}", hint=hint) from error


def can_reuse(source: Path, old: RunRecord, new: RunRecord) -> bool:
    """Whether a run could take over anything of the run folder `source`."""
    try:
        _plan(source, old, new)
    except (ConfigError, InputError, IntegrityError):
        return False
    return True


def _plan(source: Path, old: RunRecord, record: RunRecord) -> Plan:
    same = _same_inputs(old, record)
    if list(same) == list(same.values()) and len(same) == len(old.inputs) == len(record.inputs):
        return _plan_steps(source, old, record)
    return _plan_inputs(source, old, record, same)


def _same_inputs(old: RunRecord, new: RunRecord) -> dict[str, str]:
    """The inputs that both runs have, unchanged, by the keys of their tasks."""
    numbers = {item.identity(): number for number, item in enumerate(old.inputs)}
    found = ((number, numbers.get(item.identity())) for number, item in enumerate(new.inputs))
    return {f"{number:05d}": f"{before:05d}" for number, before in found if before is not None}


def _plan_steps(source: Path, old: RunRecord, record: RunRecord) -> Plan:
    """The plan for the same inputs: whole steps."""
    steps: list[str] = []
    stopped: list[str] = []
    for step in REUSABLE:
        stopped = _changes(step, old, record)
        if not stopped and step.optional and not step.enabled(record.config):
            continue
        stopped = stopped or _missing(source, _ledgers(source, step.name), step.name)
        if stopped:
            break
        steps.append(step.name)
    if not steps:
        raise _refusal(source, stopped)
    ledgers = {name: {key: key for key in Ledger(source, name).committed()}
               for step in steps for name in _ledgers(source, step)}  # fmt: skip
    return Plan(source=source, ledgers=ledgers, inputs=len(record.inputs), stopped_by=tuple(stopped))


def _plan_inputs(source: Path, old: RunRecord, record: RunRecord, same: Keys) -> Plan:
    """The plan for inputs of which only some are the same: single tasks of the steps that look at one input."""
    moved = input_changes(old.inputs, record.inputs) or ["the inputs come in another order"]
    changes = _changes(EXTRACT, old, record)
    if changes or not same:
        raise _refusal(source, [*changes, *moved])
    names = list(BY_INPUT)
    if _compares_all_inputs(record.config):
        names, moved = (
            [exact_copies.DIGESTS],
            [*moved, "payload_digest with scope: run compares the pages of all inputs"],
        )
    elif changes := _changes(FILTER, old, record):
        names, moved = [EXTRACT.name], [*changes, *moved]
    ledgers = {}
    for name in names:
        done = {key for key, commit in Ledger(source, name).committed().items() if not _missing_files(source, [commit])}
        ledgers[name] = {key: before for key, before in same.items() if before in done}
    if not ledgers[names[0]]:
        raise _refusal(source, _missing(source, names[:1], EXTRACT.name))
    return Plan(source=source, ledgers=ledgers, inputs=len(record.inputs), stopped_by=tuple(moved))


def _compares_all_inputs(config: Mapping[str, Any]) -> bool:
    """Whether step 1 of a resolved config asks what stands in other inputs."""
    return any((stage.get("payload_digest") or {}).get("scope") == "run" for stage in config["extract"])


def _refusal(source: Path, changes: Sequence[str]) -> ConfigError:
    shown = "\n  ".join(changes[:_MAX_SHOWN])
    problem = f"not even its first step can be taken over; what differs:\n  {shown}"
    return ConfigError(f"--reuse {source}", problem, hint="build without --reuse")


def take_over(plan: Plan, out: Path) -> dict[str, int]:
    """Link what the plan names into `out` and commit it there: ledger -> tasks taken over; done ones are left alone."""
    return {name: _take_over(plan.source, out, name, keys) for name, keys in plan.ledgers.items()}


def _changes(step: Step, old: RunRecord, new: RunRecord) -> list[str]:
    """What differs between the two runs of all that the step depends on, its predecessors and inputs aside."""
    before, after = ({name: without_input(run.config)[name] for name in step.sections} for run in (old, new))
    changes = differences(before, after)
    named = {str(path) for tree in (before, after) for path in named_files({**tree, "input": None})}
    named |= {name for tree in (before, after) for name in named_previous_runs(tree)}
    old_files, new_files = ({name: sha for name, sha in run.files.items() if name in named} for run in (old, new))
    changes += [f"file {line}" for line in differences(old_files, new_files)]
    changes += source_changes(old, new, {*user_stage_names(before), *user_stage_names(after)})
    if step == EXTRACT:
        changes += [f"version of {line}" for line in differences(dict(old.versions), dict(new.versions))]
    old_kept, new_kept = (run.config["run"]["dropped_text"] for run in (old, new))  # the one of `run` that writes bytes
    return changes + differences(old_kept, new_kept, "run.dropped_text")


def _ledgers(out: Path, step: str) -> list[str]:
    """The ledgers that a step writes: `dedup` has some for its phases, `dedup-edges` and so on."""
    return sorted(path.parent.name for path in (out / "steps").glob(f"{step}*/commits")
                  if path.parent.name.partition("-")[0] == step)  # fmt: skip


def _missing(out: Path, ledgers: Sequence[str], step: str) -> list[str]:
    """Why a step that would fit cannot be taken over after all."""
    commits = [commit for name in ledgers for commit in Ledger(out, name).committed().values()]
    if not commits:
        return [f"{out} has not begun the step '{step}'"]
    missing = _missing_files(out, commits)
    return (
        [f"{len(missing)} files of the step '{step}' are gone (run.keep_steps: false?), first {missing[0]}"]
        if missing
        else []
    )


def _missing_files(out: Path, commits: Sequence[Commit]) -> list[str]:
    """Files of the commits that are not there in their size."""
    return [entry.path for commit in commits for entry in commit.files if not _is_whole(out / entry.path, entry.bytes)]


def _is_whole(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _take_over(old_out: Path, out: Path, name: str, keys: Keys) -> int:
    """Link the files of every task that `out` has not done yet, then commit."""
    have, old = Ledger(out, name).committed(), Ledger(old_out, name).committed()
    new = {key: old[before] for key, before in keys.items() if key not in have}
    for key, commit in new.items():
        files = tuple(_renamed(entry, commit.key, key) for entry in commit.files)
        for before, entry in zip(commit.files, files, strict=True):
            link_or_copy(old_out / before.path, out / entry.path)
        Ledger(out, name).commit(dataclasses.replace(commit, key=key, files=files))
    return len(new)


def _renamed(entry: FileEntry, old: str, new: str) -> FileEntry:
    """The file under the name that a task of another key gives it."""
    if old == new:
        return entry
    folder, _, name = entry.path.rpartition("/")
    stem, dot, suffix = name.partition(".")
    return dataclasses.replace(entry, path=f"{folder}/{stem.removesuffix(old)}{new}{dot}{suffix}")
