"""`tokenmill build --reuse OLD`: steps that an earlier run has done already are taken over, not computed again.

A step's files depend on the inputs, the versions of the libraries, the step's own config section and those of the steps
before it. Where all of these are equal the committed files of OLD are the bytes this run would write: they are linked
into the new folder (copied, across file systems) together with their commits, and the build goes on from there as if it
had been interrupted. The last step is always run.
"""

import dataclasses
import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from pipeline.begin import earlier_runs, input_changes, source_changes, without_input
from pipeline.config import named_files
from pipeline.contract.config import differences
from pipeline.contract.errors import ConfigError
from pipeline.contract.run import RunRecord
from pipeline.engine.ledger import Ledger
from pipeline.stages._own import own_names
from pipeline.steps import s1_extract, s2_filter, s3_dedup, s3_line_dedup, s3_substring_dedup

SECTIONS: dict[str, tuple[str, ...]] = {
    s1_extract.STEP: ("input", "screen", "extract"),
    s2_filter.STEP: ("filter",),
    s3_dedup.STEP: ("dedup",),
    s3_line_dedup.STEP: ("line_dedup",),
    s3_substring_dedup.STEP: ("substring_dedup",),
}
"""The config sections that decide what each step makes of what the one before it made."""
OPTIONAL = (s3_line_dedup.STEP, s3_substring_dedup.STEP)
"""Steps that neither run may have taken."""
_MOST_SHOWN = 12


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What of an earlier run can be taken over."""

    source: Path
    """Its run folder."""
    steps: tuple[str, ...]
    """The steps to take over."""
    stopped_by: tuple[str, ...]
    """Why the step after them has to be run again; empty if that is the last one, which always is."""

    def describe(self) -> str:
        """For people."""
        why = "; ".join(self.stopped_by[:_MOST_SHOWN])
        return f"taken over from {self.source}: {', '.join(self.steps)}" + (f" (then {why})" if why else "")


def plan_reuse(source: Path, out: Path, record: RunRecord) -> Plan:
    """Which steps of the run folder `source` cannot differ in the run `record`, about to begin in `out`.

    Raises:
        InputError: `source` is no run folder.
        ConfigError: not even the first step can be taken over; the message names why.
    """
    old = RunRecord.read(source)
    if source.resolve() == out.resolve():
        raise ConfigError(f"--reuse {source}", "is the run folder itself", mend="give another --output")
    steps: list[str] = []
    for step, sections in SECTIONS.items():
        changes = _changes(step, sections, old, record)
        if not changes and step in OPTIONAL and record.config[step] is None:
            continue
        changes = changes or _missing(source, step)
        if changes and not steps:
            shown = "\n  ".join(changes[:_MOST_SHOWN])
            problem = f"not even its first step can be taken over; what differs:\n  {shown}"
            raise ConfigError(f"--reuse {source}", problem, mend="build without --reuse")
        if changes:
            return Plan(source, tuple(steps), tuple(changes))
        steps.append(step)
    return Plan(source, tuple(steps), ())


def take_over(plan: Plan, out: Path) -> dict[str, int]:
    """Link what the plan names into `out` and commit it there: step -> tasks taken over; done ones are left alone."""
    return {step: sum(_take_over(plan.source, out, ledger) for ledger in _ledgers(plan.source, step))
            for step in plan.steps}  # fmt: skip


def _changes(step: str, sections: Sequence[str], old: RunRecord, new: RunRecord) -> list[str]:
    """What differs between the two runs of all that the step depends on, its predecessors aside."""
    before, after = ({name: without_input(run.config)[name] for name in sections} for run in (old, new))
    changes = differences(before, after)
    named = {str(path) for tree in (before, after) for path in named_files({**tree, "input": None})}
    named |= {name for tree in (before, after) for name in earlier_runs(tree)}
    old_files, new_files = ({name: sha for name, sha in run.files.items() if name in named} for run in (old, new))
    changes += [f"file {line}" for line in differences(old_files, new_files)]
    changes += source_changes(old, new, {*own_names(before), *own_names(after)})
    if step == s1_extract.STEP:
        changes += [f"version of {line}" for line in differences(dict(old.versions), dict(new.versions))]
        changes += input_changes(old.inputs, new.inputs)
        if not changes and [item.path for item in old.inputs] != [item.path for item in new.inputs]:
            changes.append("the inputs come in another order")
    old_kept, new_kept = (run.config["run"]["dropped_text"] for run in (old, new))  # the one of `run` that writes bytes
    return changes + differences(old_kept, new_kept, "run.dropped_text")


def _ledgers(out: Path, step: str) -> list[str]:
    """The ledgers that a step writes: `dedup` has some for its phases, `dedup-edges` and so on."""
    return sorted(path.parent.name for path in (out / "steps").glob(f"{step}*/commits")
                  if path.parent.name.partition("-")[0] == step)  # fmt: skip


def _missing(out: Path, step: str) -> list[str]:
    """Why a step that would fit cannot be taken over after all."""
    commits = [commit for ledger in _ledgers(out, step) for commit in Ledger(out, ledger).committed().values()]
    if not commits:
        return [f"{out} has not begun the step '{step}'"]
    gone = [entry.path for commit in commits for entry in commit.files if not _is_whole(out / entry.path, entry.bytes)]
    return (
        [f"{len(gone)} files of the step '{step}' are gone (run.keep_steps: false?), first {gone[0]}"] if gone else []
    )


def _is_whole(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _take_over(old_out: Path, out: Path, ledger: str) -> int:
    """Link the files of every commit that `out` does not have yet, then commit."""
    have = Ledger(out, ledger).committed()
    new = [commit for key, commit in Ledger(old_out, ledger).committed().items() if key not in have]
    for commit in new:
        for entry in commit.files:
            _link(old_out / entry.path, out / entry.path)
        Ledger(out, ledger).commit(commit)
    return len(new)


def _link(source: Path, target: Path) -> None:
    """The same file under another name; files of a run are replaced, never changed, so the two cannot disturb."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        os.link(source, temporary)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, temporary)
    temporary.replace(target)
