"""Builds of a small crawl, disturbed by the hundred; every byte that is published must equal the undisturbed run's.

    python tests/chaos/chaos.py [--faults 200] [--seed 1] [--only local|ray] [--keep FOLDER]

The crawl is served by a web server that stumbles in one of twenty requests. Each run is one run folder: the build is
started, disturbed, and started again as a user would, until it ends well. The last line says

    chaos: N faults, M runs, K differing bytes

and the exit code is 1 if K is not 0, a build hung, or one failed that nothing was done to.
"""

import argparse
import collections
import contextlib
import dataclasses
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]

from faults import WHILE_RUNNING, WHILE_STOPPED, Build, end_all, jump_clock
from server import Stumbling, serve
from warc_pages import Page, article, write_warc

PUBLISHED = ("documents", "dropped", "quarantine", "tokens")
REPOSITORY = Path(__file__).parents[2]
RATE = 0.05
LONGEST = 240.0
"""Seconds after which a build counts as hung."""
MAX_STARTS = 7
"""Starts of one run that are disturbed; then it is left in peace."""
CONFIG = """
extract: [{main_text: {engine: resiliparse}}]
filter: [gopher_quality, gopher_repetition, c4, fineweb]
tokenize: {stages: [pii], train_tokenizer: {vocabulary_size: 500}, tokens_per_shard: 4000}
run: {page_limits: {cpu_seconds: 5, wall_seconds: 30}, remote: {timeout: 1, first_wait: 0.01, longest_wait: 0.1}}
"""


@dataclasses.dataclass(slots=True)
class Result:
    """What has been done so far, and what came of it."""

    faults: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    runs: int = 0
    starts: int = 0
    differing: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Crawl:
    """What is built."""

    folder: Path
    inputs: tuple[str, ...]
    server: Stumbling

    def start(self, out: Path, errors: Path, *, ray: bool, environment: dict[str, str]) -> Build:
        """The build as a command of its own."""
        inputs = [word for address in self.inputs for word in ("--input", address)]
        how = ["--set", "run.workers=2"] if ray else ["--local"]
        command = [sys.executable, "-m", "pipeline.cli", "build", str(self.folder / "build.yaml"), *inputs, "--output",
                   str(out), "--quiet", *how]  # fmt: skip
        path = os.pathsep.join(filter(None, [environment.get("PYTHONPATH"), str(REPOSITORY)]))
        with errors.open("wb") as sink:
            return subprocess.Popen(
                command, env={**os.environ, **environment, "PYTHONPATH": path}, stdout=subprocess.DEVNULL, stderr=sink
            )


@contextlib.contextmanager
def crawl_in(folder: Path, seed: int) -> Iterator[Crawl]:
    """A small crawl with duplicates and pages that must go, on a web server."""
    files = folder / "files"
    files.mkdir(parents=True)
    for number in range(4):
        first = 100 * number
        pages = [Page(url=f"https://a.example/{first + i}", html=article(first + i)) for i in range(20)]
        pages += [Page(url=f"https://b.example/copy-{first}", html=article(first), date="2024-01-02T00:00:00Z"),
                  Page(url=f"https://a.example/gone-{first}", html=article(first), status="404 Not Found"),
                  Page(url=f"https://a.example/short-{first}", html="<p>Too few words.</p>")]  # fmt: skip
        write_warc(files / f"crawl-{number}.warc.gz", pages)
    (folder / "build.yaml").write_text(CONFIG)
    with serve(files, seed) as (address, server):
        yield Crawl(folder=folder, inputs=tuple(f"{address}/crawl-{n}.warc.gz" for n in range(4)), server=server)


def chaos(crawl: Crawl, scratch: Path, wanted: int, seed: int, only: str | None = None) -> Result:
    """Disturb builds until `wanted` faults have been met.

    Args:
        crawl: what is built.
        scratch: an empty folder.
        wanted: faults, those of the web server included.
        seed: of every choice; what it meets depends on the machine's speed all the same.
        only: `local` or `ray`; None for both.
    """
    result, reference = Result(), scratch / "reference"
    build = crawl.start(reference, scratch / "errors", ray=False, environment={})
    if build.wait(LONGEST) != 0:
        raise SystemExit(f"the undisturbed build failed: {(scratch / 'errors').read_text()}")
    while result.faults.total() < wanted and not result.failures:
        chance = random.Random(f"{seed} {result.runs}")
        ray = only == "ray" or (only is None and chance.random() < 0.4)
        out = scratch / f"run-{result.runs}"
        _disturbed_run(crawl, out, chance, result, ray=ray, wanted=wanted)
        different = differing_bytes(reference, out)
        result.runs, result.differing = result.runs + 1, result.differing + different
        print(f"run {result.runs} ({'ray' if ray else 'local'}): {result.starts} starts so far, "
              f"{result.faults.total()} faults so far, {different} differing bytes", flush=True)  # fmt: skip
        if not different and not result.failures:
            shutil.rmtree(out)
    return result


def _disturbed_run(crawl: Crawl, out: Path, chance: random.Random, result: Result, *, ray: bool, wanted: int) -> None:
    """One run folder, from its first start to its end."""
    errors = out.with_name(f"{out.name}.errors")
    for number in range(MAX_STARTS + 3):
        result.starts += 1
        before = result.faults.total()
        quiet = number >= MAX_STARTS or before >= wanted
        environment = {}
        if not quiet and chance.random() < 0.15:
            environment = jump_clock(crawl.folder, chance)
            result.faults["jump clock"] += 1
        stumbled = crawl.server.counts.total()
        crawl.server.rate = 0.0 if quiet else RATE
        build = crawl.start(out, errors, ray=ray, environment=environment)
        if not quiet:
            _disturb(build, chance, result, ray=ray)
        code = _wait(build)
        result.faults["web server"] += crawl.server.counts.total() - stumbled
        if code is None:
            result.failures.append(f"{out.name}: hung")
            return
        if code == 0:
            return
        if result.faults.total() == before and number:
            result.failures.append(f"{out.name}: exit {code}, undisturbed: {errors.read_text()[-2000:]}")
            return
        if not quiet and chance.random() < 0.5:
            name, act = chance.choice(sorted(WHILE_STOPPED.items()))
            result.faults[name] += act(out, chance)
    result.failures.append(f"{out.name}: does not end well, however often it is started: {errors.read_text()[-2000:]}")


def _disturb(build: Build, chance: random.Random, result: Result, *, ray: bool) -> None:
    """One to three faults at times drawn over a build's length."""
    names = [name for name in WHILE_RUNNING if ray or name not in ("kill worker", "kill raylet")]
    weights = [WHILE_RUNNING[name][1] for name in names]
    begun, length = time.monotonic(), 14.0 if ray else 5.0
    times = sorted(chance.uniform(0.3, length) for _ in range(chance.randint(1, 3)))
    for at, name in zip(times, chance.choices(names, weights, k=len(times)), strict=True):
        while build.poll() is None and time.monotonic() < begun + at:
            time.sleep(0.01)
        if build.poll() is not None:
            return
        result.faults[name] += WHILE_RUNNING[name][0](build, chance)


def _wait(build: Build) -> int | None:
    try:
        return build.wait(LONGEST)
    except subprocess.TimeoutExpired:
        return None
    finally:
        end_all(build)


def differing_bytes(one: Path, other: Path) -> int:
    """Bytes under the published folders that are not the same; all of a file that only one has."""
    names = {path.relative_to(root).as_posix() for root in (one, other) for folder in PUBLISHED
             for path in (root / folder).rglob("*") if path.is_file()}  # fmt: skip
    total = 0
    for name in sorted(names):
        left, right = ((root / name).read_bytes() if (root / name).is_file() else b"" for root in (one, other))
        different = sum(a != b for a, b in zip(left, right, strict=False)) + abs(len(left) - len(right))
        if different:
            print(f"  {other.name}: {different} bytes of {name} differ", flush=True)
        total += different
    return total


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=("local", "ray"))
    parser.add_argument("--keep", type=Path, help="work in this new folder and leave it")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="tokenmill-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    with crawl_in(folder / "crawl", options.seed) as crawl:
        result = chaos(crawl, folder, options.faults, options.seed, options.only)
    for failure in result.failures:
        print(f"FAILED {failure}")
    print("; ".join(f"{number} {name}" for name, number in sorted(result.faults.items()) if number))
    bad = bool(result.failures or result.differing)
    if not bad and options.keep is None:
        shutil.rmtree(folder)
    elif bad:
        print(f"left in {folder}")
    print(f"chaos: {result.faults.total()} faults, {result.runs} runs, {result.differing} differing bytes")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
