"""What came of the run as a whole: from `run.json` and names of files, so that it costs the same for any run."""

import dataclasses
from collections.abc import Sequence

from pipeline.contract.run import RunRecord
from pipeline.explore.folder import Folder
from pipeline.explore.queries import count_values
from pipeline.explore.scan import Budget
from pipeline.steps.registry import EXTRACT, STEPS


@dataclasses.dataclass(frozen=True, slots=True)
class FlowStep:
    """What entered a step and what came of it."""

    name: str
    read: int
    kept: int
    dropped: int
    quarantined: int


def flow(record: RunRecord, quarantined: dict[str, int]) -> list[FlowStep]:
    """The steps of a finished run, from its totals."""
    steps, left = [], record.totals.read
    for step in STEPS:
        if not step.enabled(record.config):
            continue
        name = step.name
        dropped = sum(count for key, count in record.totals.dropped.items() if key.startswith(f"{name}."))
        gone = quarantined.get(name, 0)
        steps.append(FlowStep(name, left, left - dropped - gone, dropped, gone))
        left -= dropped + gone
    return steps


def quarantined_by_step(folder: Folder, total: int) -> tuple[dict[str, int], bool]:
    """(step -> pages given up, whether that is exact): where one step gave up all, no file is read."""
    steps = folder.quarantined_in()
    if len(steps) <= 1:
        return {next(iter(steps), EXTRACT.name): total}, True
    counts, coverage = count_values(list(folder.parts("quarantine").values()), ["step"], Budget(seconds=0.5))
    found = {key[0]: count for key, count in counts.items()}
    if not coverage.complete or sum(found.values()) != total:
        return {EXTRACT.name: total}, False
    return found, True


def committed(folder: Folder, record: RunRecord) -> Sequence[tuple[str, int, int]]:
    """(step, parts of its documents, parts of what it dropped) that are there, for a run that is not done."""
    rows = []
    for step in STEPS:
        if step.enabled(record.config):
            dropped = sum(name.startswith(f"{step.name}-") for name in folder.parts("dropped"))
            rows.append((step.name, len(folder.parts(step.folder)), dropped))
    return rows
