"""Stages that raise: from when on the fault is the stage's and not its pages', and a build stops.

Counted are the pages that entered a stage and those on which it raised; a page that hung, crashed or ran out of memory
is another matter. Both numbers are among the counts of a commit, so they add up over the parts of a step, and over the
builds of a run that was stopped and goes on.
"""

import dataclasses
import textwrap
import traceback
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.contract.errors import StageError
from pipeline.engine.ledger import Commit

MIN_PAGES = 200
"""Before so many pages have entered a stage, only a step at its end says how large a share of them failed."""
NOTE = "failures"
"""In the notes of a commit: the first failure of each stage."""
_ENTERED, _FAILED = "entered.", "failed."
_DEEPEST = 8
_LONGEST_TRACE = 3000


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """One page on which a stage raised."""

    url: str
    trace: str


class StepFailures:
    """What the commits of one step say of its stages."""

    def __init__(self, step: str, most: float | None) -> None:
        self._step, self._most = step, most
        self._counts: Counter[str] = Counter()
        self._firsts: dict[str, Failure] = {}

    def add(self, commits: Iterable[Commit]) -> None:
        """Take commits in.

        Raises:
            StageError: more pages of a stage have failed than may.
        """
        for commit in commits:
            self._counts.update({name: n for name, n in commit.counts.items() if name.startswith((_ENTERED, _FAILED))})
            for stage, first in commit.notes.get(NOTE, {}).items():
                self._firsts.setdefault(stage, Failure(**first))
        refuse_broken(self._step, self._counts, self._firsts, self._most)

    def finish(self) -> None:
        """The step is done.

        Raises:
            StageError: a stage has failed on every page that entered it, however few they were.
        """
        for stage, first in self._firsts.items():
            failed, entered = _numbers(self._counts, stage)
            if self._most is not None and failed == entered:
                allowed = f"which is all of them (run.max_quarantined: {self._most:g})"
                raise _broken(self._step, stage, failed, entered, allowed, first)


def counted(entered: Iterable[str], raised: str | None = None) -> dict[str, int]:
    """The counts of one page: the stages that it entered, and the one that raised on it."""
    counts = {f"{_ENTERED}{stage}": 1 for stage in entered}
    return counts if raised is None else {**counts, f"{_FAILED}{raised}": 1}


def refuse_broken(
    step: str, counts: Mapping[str, int], firsts: Mapping[str, Failure], max_quarantined: float | None
) -> None:
    """Look at the stages that have failed on any page, which are none as a rule.

    Args:
        step: names the step.
        counts: of a part or a step.
        firsts: the first failure of each stage that has one.
        max_quarantined: the share of pages that may fail; None: any.

    Raises:
        StageError: a stage has failed on more.
    """
    for stage, first in firsts.items():
        failed, entered = _numbers(counts, stage)
        if max_quarantined is not None and entered >= MIN_PAGES and failed / entered > max_quarantined:
            allowed = f"more than run.max_quarantined ({max_quarantined:g}) allows"
            raise _broken(step, stage, failed, entered, allowed, first)


def stage_error(*parts: str) -> StageError:
    """An error of a stage: what is wrong, and the lines below it, indented."""
    problem, *rest = parts
    return StageError("\n".join([problem, *(textwrap.indent(part, "  ", lambda _: True) for part in rest)]))


def stage_trace(error: BaseException) -> str:
    """The traceback of an exception, from the frames of the stage on."""
    trace = error.__traceback__
    while trace and trace.tb_next and str(trace.tb_frame.f_globals.get("__name__")).startswith("pipeline.steps."):
        trace = trace.tb_next
    text = "".join(traceback.format_exception(type(error), error, trace, limit=-_DEEPEST)).rstrip()
    return text if len(text) <= _LONGEST_TRACE else f"...{text[-_LONGEST_TRACE:]}"


def _numbers(counts: Mapping[str, int], stage: str) -> tuple[int, int]:
    return counts.get(f"{_FAILED}{stage}", 0), counts.get(f"{_ENTERED}{stage}", 0)


def _broken(step: str, stage: str, failed: int, entered: int, allowed: str, first: Failure) -> StageError:
    problem = f"{step}: stage {stage}: {failed:,} of {entered:,} pages failed, {allowed}"
    hint = "fix the stage and build into a new --output; --set run.max_quarantined=null quarantines them and goes on"
    return stage_error(problem, f"first on {first.url}", first.trace, hint)


def as_note(firsts: Mapping[str, Failure]) -> dict[str, Any]:
    """First failures by stage, for the notes of a commit; nothing where there is none."""
    return {NOTE: {stage: dataclasses.asdict(first) for stage, first in firsts.items()}} if firsts else {}
