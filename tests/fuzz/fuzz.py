"""Inputs made wrong, by the thousand, for everything that reads what it did not write.

    python tests/fuzz/fuzz.py [--seconds 120] [--seed 1] [--only TARGET,...] [--case TARGET:NUMBER] [--keep FOLDER]

The inputs are tried in a process of its own: with a bound on its memory, and, for each input, on its CPU and waiting
time. Where an input kills it, a new one goes on from the next. An input is made from seed, target and number alone, so
`--case` makes it again. How many are tried depends on the machine: `--seconds` are CPU seconds, shared evenly. The last
line says

    fuzz: N inputs, T targets, C crashes, H hangs

and the exit code is 1 if there was a crash or a hang. A crash is an exception that is none of ours, a promise that does
not hold, or a process that died; a hang is an input that takes LONGEST CPU seconds or WAIT seconds.
"""

import argparse
import collections
import contextlib
import dataclasses
import faulthandler
import io
import json
import mmap
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1] / "support"), str(Path(__file__).parents[2])]
os.environ.setdefault("OMP_NUM_THREADS", "1")

import archives
import commands
import pages
import rows
import shards
import tokenizers_
from case import Case, Target

import configs

LONGEST = 20.0
"""CPU seconds of one input: the largest ones take 1."""
WAIT = 300.0
MEMORY = 3 << 30
"""Bytes of address space that inputs may take on top of what is loaded."""
TARGETS: tuple[Target, ...] = (
    *archives.TARGETS, *pages.TARGETS, *rows.TARGETS, *configs.TARGETS, *shards.TARGETS, *tokenizers_.TARGETS,
    *commands.TARGETS,
)  # fmt: skip
_MAX_DEATHS = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """An input that broke something."""

    case: str
    kind: str
    """`crash` or `hang`."""
    text: str


class Board:
    """What both processes see: for each target the number of inputs begun and the CPU seconds they took."""

    def __init__(self, targets: int) -> None:
        self._memory, self._width = mmap.mmap(-1, 16 * targets + 16), targets
        self._begun = memoryview(self._memory)[: 8 * targets].cast("Q")
        self._cpu = memoryview(self._memory)[8 * targets : 16 * targets].cast("d")
        self._now = memoryview(self._memory)[16 * targets :].cast("q")
        self._now[0] = -1

    def begin(self) -> tuple[int, int]:
        """The target that has had the least time, and the number of its next input."""
        which = min(range(self._width), key=lambda index: self._cpu[index])
        self._now[0] = which
        self._begun[which] += 1
        return which, self._begun[which]

    def end(self, seconds: float) -> None:
        """The input under way is over."""
        if self._now[0] >= 0:
            self._cpu[self._now[0]] += seconds
        self._now[0] = -1

    def current(self) -> tuple[int, int] | None:
        """The input under way, if any."""
        which = self._now[0]
        return None if which < 0 else (which, self._begun[which])

    def begun(self, which: int) -> int:
        """Inputs of a target so far."""
        return self._begun[which]

    @property
    def seconds(self) -> float:
        """CPU seconds of all inputs so far."""
        return sum(self._cpu)


@dataclasses.dataclass(slots=True)
class Session:
    """One run of the fuzzer."""

    targets: Sequence[Target]
    seed: int
    seconds: float
    scratch: Path
    keep: Path | None
    findings: list[Finding] = dataclasses.field(default_factory=list)
    outcomes: dict[str, collections.Counter[str]] = dataclasses.field(default_factory=dict)

    def run(self) -> int:
        """Try inputs until the time is up; how many were tried."""
        board = Board(len(self.targets))
        for deaths in range(_MAX_DEATHS + 1):
            if board.seconds >= self.seconds or deaths == _MAX_DEATHS:
                break
            if self._one_process(board):
                break
        return sum(board.begun(which) for which in range(len(self.targets)))

    def _one_process(self, board: Board) -> bool:
        """Let a process try inputs; whether it came to its end."""
        reading, writing = os.pipe()
        sys.stdout.flush()
        process = os.fork()
        if process == 0:
            os.close(reading)
            _child(self, board, writing)
        os.close(writing)
        with open(reading, encoding="utf-8") as lines:
            for line in lines:
                self._take(json.loads(line))
        _, status = os.waitpid(process, 0)
        code = os.waitstatus_to_exitcode(status)
        if code:
            self._blame(board, code)
        return code == 0

    def _take(self, said: dict[str, Any]) -> None:
        if "outcomes" in said:
            for name, counts in said["outcomes"].items():
                self.outcomes.setdefault(name, collections.Counter()).update(counts)
        else:
            self._add(Finding(said["case"], "crash", said["text"]))

    def _blame(self, board: Board, code: int) -> None:
        """The input that was under way killed the process."""
        under_way = board.current()
        hang = code in (-signal.SIGPROF, -signal.SIGALRM)
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        where = f"{self.targets[under_way[0]].name}:{under_way[1]}" if under_way else "none:0"
        trace = (self.scratch / "trace").read_text(errors="replace")[-4000:]
        if under_way and self.keep:
            _keep(self.scratch / "input", self.keep / where.replace(":", "-"))
        self._add(Finding(where, "hang" if hang else "crash", f"{name}\n{trace}"))
        board.end(LONGEST if hang else 1.0)

    def _add(self, finding: Finding) -> None:
        self.findings.append(finding)
        lines = [line for line in finding.text.strip().splitlines() if line.strip()]
        known = sum(_signature(other) == _signature(finding) for other in self.findings)
        if known <= 2:
            print(f"{finding.kind} {finding.case}", *lines[-14:], sep="\n  ", flush=True)


def _signature(finding: Finding) -> tuple[str, ...]:
    lines = finding.text.strip().splitlines()
    return (finding.case.partition(":")[0], *[line for line in lines if line.lstrip().startswith("File ")][-2:])


def _child(session: Session, board: Board, writing: int) -> None:
    """Try inputs until the time is up; never returns."""
    code = 3
    try:
        with open(writing, "w", encoding="utf-8") as pipe, (session.scratch / "trace").open("w+") as trace:
            faulthandler.enable(trace, all_threads=False)
            for name in (signal.SIGPROF, signal.SIGALRM):
                faulthandler.register(name, trace, all_threads=False, chain=True)  # tells where, then kills
            for target in session.targets:
                target.warm_up()
            _bound_memory()
            counts = collections.defaultdict(collections.Counter)
            while board.seconds < session.seconds:
                which, number = board.begin()
                start = sum(os.times()[:4])  # with processes that were begun and have ended
                said = _try(session, session.targets[which], number)
                board.end(sum(os.times()[:4]) - start)
                if isinstance(said, str):
                    counts[session.targets[which].name][said] += 1
                else:
                    pipe.write(json.dumps({"case": said.case, "text": said.text}) + "\n")
                    pipe.flush()
            pipe.write(json.dumps({"outcomes": counts}) + "\n")
        code = 0
    except BaseException:  # noqa: BLE001 - the parent sees the exit code
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _bound_memory() -> None:
    loaded = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (loaded + MEMORY, loaded + MEMORY))


def _try(session: Session, target: Target, number: int) -> str | Finding:
    """What came of one input."""
    folder = session.scratch / "input"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    name = f"{target.name}:{number}"
    case = Case(random.Random(f"{session.seed}:{name}"), folder)
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    signal.setitimer(signal.ITIMER_REAL, WAIT)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return target.run(case)
    except BaseException as error:  # noqa: BLE001 - Rust's panics are no Exception
        if session.keep:
            _keep(folder, session.keep / name.replace(":", "-"))
        return Finding(name, "crash", "".join(traceback.format_exception(error))[-6000:])
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _keep(folder: Path, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folder, place, ignore_dangling_symlinks=True)


def _one_case(session: Session, where: str) -> None:
    name, _, number = where.partition(":")
    [target] = [target for target in session.targets if target.name == name]
    target.warm_up()
    said = _try(session, target, int(number))
    print(said if isinstance(said, str) else said.text)


def _summary(session: Session) -> Iterator[str]:
    for name, counts in session.outcomes.items():
        common = ", ".join(f"{outcome} {count}" for outcome, count in counts.most_common(5))
        yield f"{name}: {sum(counts.values())} inputs, {len(counts)} different outcomes: {common}"


def main() -> int:
    """Run from the command line; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="names of targets, with commas")
    parser.add_argument("--case", default="", help="make and try one input, as TARGET:NUMBER")
    parser.add_argument("--keep", type=Path, help="folder for the inputs that break something")
    given = parser.parse_args()
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    only = given.only or given.case.partition(":")[0]
    targets = [target for target in TARGETS if not only or target.name in only.split(",")]
    if not targets:
        parser.error(f"no such target: {only}; there are {', '.join(target.name for target in TARGETS)}")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        session = Session(targets, given.seed, given.seconds, Path(scratch), given.keep)
        if given.case:
            _one_case(session, given.case)
            return 0
        tried = session.run()
    print(*_summary(session), sep="\n")
    kinds = collections.Counter(finding.kind for finding in session.findings)
    print(f"fuzz: {tried} inputs, {len(targets)} targets, {kinds['crash']} crashes, {kinds['hang']} hangs")
    return int(bool(session.findings))


if __name__ == "__main__":
    sys.exit(main())
