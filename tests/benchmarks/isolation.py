"""What the guarded page process costs on normal pages: step 1 over the same file with and without it, in turns.

    python tests/benchmarks/isolation.py [WARC] [--rounds 5] [--engine adaptive] [--json]

WARC: by default the first file of data/web of the shared test data. CPU seconds of this process and of the page process
over one task, the fastest of the rounds on each side; starting a page process (once per worker, and again when it has
grown) is given apart. The outcomes of both sides are compared.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipeline.config import load_config
from pipeline.engine.isolation import end_idle, guarded
from pipeline.engine.settings import PageLimits
from pipeline.engine.task_clock import start_task, task_seconds
from pipeline.sources.listing import expand
from pipeline.steps.context import StageWork
from pipeline.steps.extract.reading import Reading
from pipeline.steps.extract.step import ExtractTask, pages

SHARED = Path(os.environ.get("TOKENMILL_SHARED", Path(__file__).resolve().parents[3] / "shared" / "data"))
TARGET = 1.03


def task_of(path: Path, engine: str, folder: Path) -> ExtractTask:
    """Step 1 over one file, as a build of `extract: [main_text, language_id]` would do it."""
    (folder / "c.yaml").write_text(f"extract: [{{main_text: {{engine: {engine}}}}}, text_repair]\n")
    config = load_config(folder / "c.yaml")
    work = StageWork(out=folder, stages=tuple(config.extract), limits=PageLimits(), isolate=True, dropped_text=False,
                     max_quarantined=None)  # fmt: skip
    (source,) = expand([str(path)])
    return ExtractTask(
        key="0", input=source, reading=Reading(), screen=config.screen, work=work, recorded=None, copies=None
    )


def once(task: ExtractTask, *, isolate: bool) -> tuple[float, list[tuple[str, Any]]]:
    """CPU seconds, and what came out."""
    start_task()
    found = [(item.kind, item.row) for item in guarded(pages, task, task.work.limits, isolate=isolate)]
    cpu, _ = task_seconds() or (0.0, 0.0)
    return cpu, found


def starting(task: ExtractTask) -> float:
    """Seconds of wall clock until a new page process has done a task of no pages."""
    end_idle()
    start = time.monotonic()
    once(task, isolate=True)
    return time.monotonic() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("warc", nargs="?", type=Path, default=SHARED / "web" / "crawl-00000.warc.gz")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engine", default="adaptive")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        task = task_of(arguments.warc, arguments.engine, Path(folder))
        _, expected = once(task, isolate=False)  # loads what is loaded once
        start = starting(task)
        sides: dict[bool, list[float]] = {False: [], True: []}
        for number in range(arguments.rounds):
            for isolate in ((False, True), (True, False))[number % 2]:
                seconds, found = once(task, isolate=isolate)
                if found != expected:
                    sys.exit("the two sides do not give the same outcomes")
                sides[isolate].append(seconds)
                print(f"round {number + 1}, {'guarded' if isolate else 'plain  '}: {seconds:.2f} CPU s", flush=True)
    end_idle()
    plain, with_guard = min(sides[False]), min(sides[True])
    ratio = with_guard / plain
    print(f"{len(expected) - 1} pages: plain {plain:.2f} CPU s, guarded {with_guard:.2f} CPU s, ratio {ratio:.3f} "
          f"(aim: below {TARGET}); with a new page process {start:.1f} s of wall clock")  # fmt: skip
    if arguments.json:
        print(json.dumps({"pages": len(expected) - 1, "plain": plain, "guarded": with_guard, "ratio": ratio}))


if __name__ == "__main__":
    main()
