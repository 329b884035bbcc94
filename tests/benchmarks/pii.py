"""PII scrubbing: recall, precision and CPU time of ours beside Presidio's recognizers called on whole texts.

    python tests/benchmarks/pii.py [--data presidio.jsonl] [--pages texts.jsonl] [--json]

Both sides run in this process, in turns, three rounds, the fastest counts; CPU time, not wall time. A labelled span
counts as found when a finding of its type overlaps it, a finding is right when it overlaps a label of its type.
Private addresses count, as in the labels. The last part is what the stage costs on a page without personal data.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipeline.stages.pii import Pii
from pipeline.stages.support import pii_recognizers as recognizers
from pipeline.stages.support.pii_windows import PII_TYPES

REPOSITORY = Path(__file__).resolve().parents[2]
Found = list[tuple[str, int, int]]

CLEAN = (
    "The mill stands where the stream leaves the wood. In 1874 the miller's son, then 23 years old, raised the dam by "
    "2.5 metres; since 2009 (see chapter 4.2) it has been a museum, open from 10:30 to 17:00. Entry costs $12 for "
    "adults, and some 14,000 people come each year. "
)


def ours(types: tuple[str, ...]) -> Callable[[str], Found]:
    stage = Pii(types=types, public_ips_only=False)  # type: ignore[arg-type]
    return lambda text: [(span.type, span.start, span.stop) for span in stage.find(text)]


def presidio(types: tuple[str, ...]) -> Callable[[str], Found]:
    made: dict[str, Any] = {name: recognizers._recognizer(name) for name in PII_TYPES if name != "PHONE_NUMBER"}
    made["PHONE_NUMBER"] = recognizers._phone_recognizer(recognizers.PRESIDIO_REGIONS, 1)

    def find(text: str) -> Found:
        results = [(type_, result) for type_ in types for result in made[type_].analyze(text, [type_], None)]
        return [(type_, result.start, result.end) for type_, result in results if result.score >= 0.4]

    return find


def quality(rows: list[dict[str, Any]], find: Callable[[str], Found]) -> dict[str, tuple[float, float]]:
    """Recall and precision of each type."""
    labelled: Counter[str] = Counter()
    hit: Counter[str] = Counter()
    predicted: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for row in rows:
        spans = find(row["text"])
        labels = [(label["type"], label["start"], label["end"]) for label in row["spans"]]
        for type_, start, end in labels:
            labelled[type_] += 1
            hit[type_] += any(t == type_ and s < end and start < e for t, s, e in spans)
        for t, s, e in spans:
            predicted[t] += 1
            right[t] += any(t == type_ and s < end and start < e for type_, start, end in labels)
    return {t: (hit[t] / max(1, labelled[t]), right[t] / max(1, predicted[t])) for t in PII_TYPES}


def milliseconds(texts: list[str], sides: dict[str, Callable[[str], Found]]) -> dict[str, float]:
    """CPU ms of each side over all texts, the best of three alternating rounds; caches emptied before each."""
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(3):
        for name, find in sides.items():
            recognizers._recognize.cache_clear()
            start = time.process_time()
            for text in texts:
                find(text)
            best[name] = min(best[name], 1000 * (time.process_time() - start))
    return best


def main() -> None:
    shared = Path(os.environ.get("TOKENMILL_SHARED", REPOSITORY.parent / "shared" / "data"))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=shared / "pii" / "presidio.jsonl", help="texts with `spans`")
    parser.add_argument("--pages", type=Path, help="jsonl with a `text` per line: real pages to time both sides on")
    parser.add_argument("--json", action="store_true", help="print one object as the last line")
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.data.read_text("utf-8").splitlines()]
    texts = [row["text"] for row in rows]
    kilobytes = sum(len(text.encode()) for text in texts) / 1000

    start = time.process_time()
    presidio(PII_TYPES)
    print(f"loading Presidio's recognizers: {time.process_time() - start:.2f} CPU s\n")

    a, b = quality(rows, ours(PII_TYPES)), quality(rows, presidio(PII_TYPES))
    print(f"{len(rows)} texts, {kilobytes:.0f} KB    recall           precision        CPU ms per KB")
    print(f"{'':22}  ours  Presidio   ours  Presidio    ours  Presidio  ratio")
    result: dict[str, Any] = {"texts": len(rows), "types": {}}
    for types in [*((type_,) for type_ in PII_TYPES), PII_TYPES]:
        cost = milliseconds(texts, {"ours": ours(types), "presidio": presidio(types)})
        ms, theirs = cost["ours"] / kilobytes, cost["presidio"] / kilobytes
        timing = f"{ms:8.3f} {theirs:8.3f} {theirs / ms:7.1f}x"
        if types == PII_TYPES:
            print(f"{'all':22} {'':33} {timing}")
            result |= {"ms_per_kb": ms, "presidio_ms_per_kb": theirs, "ratio": theirs / ms}
            continue
        [type_] = types
        print(f"{type_:22} {a[type_][0]:5.2f} {b[type_][0]:8.2f} {a[type_][1]:8.2f} {b[type_][1]:8.2f} {timing}")
        result["types"][type_] = {
            "recall": a[type_][0], "presidio_recall": b[type_][0], "precision": a[type_][1],
            "presidio_precision": b[type_][1], "ms_per_kb": ms, "presidio_ms_per_kb": theirs,
        }  # fmt: skip

    clean = (CLEAN * 20)[:5000]
    cost = milliseconds([clean] * 50, {"ours": ours(PII_TYPES), "presidio": presidio(PII_TYPES)})
    ms, theirs = cost["ours"] / 50, cost["presidio"] / 50
    print(f"\na clean page of 5 KB: ours {ms:.3f} CPU ms, Presidio {theirs:.1f}, ratio {theirs / ms:.0f}")
    result |= {"clean_5kb_ms": ms, "clean_5kb_presidio_ms": theirs, "clean_ratio": theirs / ms}
    if options.pages:
        pages = [json.loads(line)["text"] for line in options.pages.read_text("utf-8").splitlines()]
        size = sum(len(page.encode()) for page in pages) / 5000
        cost = milliseconds(pages, {"ours": ours(PII_TYPES), "presidio": presidio(PII_TYPES)})
        ms, theirs = cost["ours"] / size, cost["presidio"] / size
        print(f"{len(pages)} pages, per 5 KB: ours {ms:.3f} CPU ms, Presidio {theirs:.1f}, ratio {theirs / ms:.0f}")
        result |= {"pages_5kb_ms": ms, "pages_5kb_presidio_ms": theirs, "pages_ratio": theirs / ms}
    if options.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
