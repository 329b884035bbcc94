"""What finding exact copies before extraction costs, beside what a page costs in step 1.

    python tests/benchmarks/copies.py [WARC_OR_FOLDER ...] [--rounds 3] [--engine trafilatura] [--json]

Default: data/web of the shared test data. Per page that is read, in CPU ms, in one process, the fastest of the rounds,
models and lists loaded before:

    step 1        reading, URL filter, prefilter, extraction, language ID, as in configs/pipeline/fineweb-en.yaml
    scope: run    the pass that `payload_digest: {scope: run}` adds before it: reading once more, hashing, sorting
    scope: split  what `payload_digest: {scope: split}` adds to step 1: a fast hash of the body
    a copy        what a page costs step 1 that is dropped as a copy: reading, decoding, URL filter

`break_even` is the share of copies among the pages above which `scope: run` saves more than it costs:
pass / (step 1 - a copy). Below it the pass costs `share_of_step` of step 1 at most.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
SHARED = Path(os.environ.get("TOKENMILL_SHARED", ROOT.parent / "shared" / "data"))


def step_1(inputs: list[Path], stages: tuple[Any, ...]) -> dict[str, float]:
    """CPU seconds of step 1 with these stages, and of the pass before it; pages read."""
    from pipeline.engine.ledger import Ledger, add_counts
    from pipeline.engine.progress import open_progress
    from pipeline.engine.runner import open_runner
    from pipeline.engine.settings import RunSettings
    from pipeline.sources.listing import expand
    from pipeline.sources.screen import Screen
    from pipeline.steps.context import Context
    from pipeline.steps.extract import step as extract_step

    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        settings = RunSettings(output=name, local=True, isolate=False)
        with open_runner(settings) as runner, open_progress(True) as progress:
            context = Context(out=out, settings=settings, runner=runner, progress=progress)
            start = time.process_time()
            done = extract_step.run(context, expand(tuple(map(str, inputs))), extract_step.Reading(), Screen(), stages)
            total = time.process_time() - start
        before = [commit for step in ("extract-payloads", "extract-firsts")
                  for commit in Ledger(out, step).committed().values()]  # fmt: skip
    passed = sum(commit.seconds["total"] for commit in before)
    counts = add_counts(done)
    return {"pages": counts["read"], "step": total - passed, "pass": passed,
            "copies": counts.get("dropped.payload_digest.copy", 0)}  # fmt: skip


def measure(inputs: list[Path], rounds: int, engine: str) -> dict[str, Any]:
    """CPU ms per page of each."""
    from pipeline.document import prepare
    from pipeline.stages.language_id import LanguageId
    from pipeline.stages.language_prefilter import LanguagePrefilter
    from pipeline.stages.main_text import MainText
    from pipeline.stages.payload_digest import PayloadDigest
    from pipeline.stages.url_filter import UrlFilter

    address, later = UrlFilter(), (LanguagePrefilter(), MainText(engine=engine), LanguageId())  # type: ignore[arg-type]
    for stage in (address, *later):
        prepare(stage)
    sides = {
        "without": (address, *later),
        "run": (address, PayloadDigest(), *later),
        "read": (address,),
        "split": (address, PayloadDigest(scope="split")),
    }
    step_1(inputs, sides["without"])  # compiles, loads, fills caches
    best: dict[str, dict[str, float]] = {}
    for _ in range(rounds):
        for side, stages in sides.items():
            found = step_1(inputs, stages)
            for name, value in found.items():
                best.setdefault(side, {})[name] = min(best.get(side, {}).get(name, value), value)
    pages = best["without"]["pages"]
    read = best["read"]["step"]
    ms = {"step_1": best["without"]["step"], "scope_run": best["run"]["pass"],
          "scope_split": max(best["split"]["step"] - read, 0.0), "a_copy": read}  # fmt: skip
    result: dict[str, Any] = {name: round(1000 * seconds / pages, 3) for name, seconds in ms.items()}
    result |= {"pages": pages, "copies": best["run"]["copies"], "engine": engine}
    result["share_of_step"] = round(ms["scope_run"] / ms["step_1"], 4)
    result["break_even"] = round(ms["scope_run"] / (ms["step_1"] - ms["a_copy"]), 4)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="*", type=Path, default=[SHARED / "web"], metavar="WARC_OR_FOLDER")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", choices=("trafilatura", "adaptive", "resiliparse"), default="trafilatura")
    parser.add_argument("--json", action="store_true", help="one object as the last line")
    arguments = parser.parse_args()
    files = [
        file for path in arguments.inputs for file in (sorted(path.glob("*.warc.gz")) if path.is_dir() else [path])
    ]
    result = measure(files, arguments.rounds, arguments.engine)
    print(f"{result['pages']} pages, {result['copies']} of them copies, engine {result['engine']}; CPU ms per page:")
    for name, label in (("step_1", "step 1"), ("scope_run", "the pass of scope: run"), ("scope_split", "scope: split"),
                        ("a_copy", "a copy, in step 1")):  # fmt: skip
        print(f"  {label:24}{result[name]:8.3f}")
    print(
        f"scope: run costs {result['share_of_step']:.1%} of step 1, and pays from {result['break_even']:.1%} copies on"
    )
    if arguments.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
