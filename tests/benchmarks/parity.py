"""Do our quality filters decide as datatrove's own blocks do, and at what cost?

    python tests/benchmarks/parity.py [WARC_OR_FOLDER ...] [--limit 13000] [--json]

Every text goes through each of the four filters of FineWeb by itself, on both sides; decision and reason must be the
same, and for C4 the cleaned text. A difference is put down to its cause: to the word splitter, when the same stage
with `word_split: datatrove` agrees. Texts are the main content of the pages as Resiliparse sees it, all of them read as
English. CPU times are of this process; datatrove's includes its own cache of words, which neighbouring filters share.

Default: data/web of the shared test data, 1,015 saved web pages. For 10,000 texts and more add a folder of
documentation (DOCS_CRAWL of docs/performance.md); 13,000 texts take datatrove about 6 minutes of CPU.
"""

import argparse
import itertools
import json
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastwarc.warc import ArchiveIterator, WarcRecordType
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding

from pipeline.document import Document, Drop
from pipeline.stages.c4 import C4
from pipeline.stages.fineweb import Fineweb
from pipeline.stages.gopher_quality import GopherQuality
from pipeline.stages.gopher_repetition import GopherRepetition

SHARED = Path(os.environ.get("TOKENMILL_SHARED", Path(__file__).resolve().parents[3] / "shared" / "data"))
REASONS = {
    "gopher_repetition": {
        "dup_para_frac": "duplicate_paragraphs",
        "dup_para_char_frac": "duplicate_paragraph_characters",
        "dup_line_frac": "duplicate_lines",
        "dup_line_char_frac": "duplicate_line_characters",
        **{f"duplicated_{n}_n_grams": f"duplicated_{n}_grams" for n in range(5, 11)},
    },
    "gopher_quality": {
        "gopher_short_doc": "too_few_words",
        "gopher_long_doc": "too_many_words",
        "gopher_below_avg_threshold": "words_too_short",
        "gopher_above_avg_threshold": "words_too_long",
        "gopher_too_many_hashes": "too_many_hashes",
        "gopher_too_many_ellipsis": "too_many_ellipses",
        "gopher_too_many_bullets": "too_many_bullet_lines",
        "gopher_too_many_end_ellipsis": "too_many_ellipsis_lines",
        "gopher_below_alpha_threshold": "too_few_alphabetic_words",
        "gopher_enough_stop_words": "too_few_stop_words",
    },
    "c4": {},
    "fineweb": {
        "line_punct_ratio": "too_few_punctuated_lines",
        "short_line_ratio": "too_many_short_lines",
        "char_dup_ratio": "duplicate_line_characters",
        "list_ratio": "too_many_newlines",
    },
}
"""datatrove's reasons that ours call by another name."""

OURS: dict[str, Callable[..., Any]] = {
    "gopher_repetition": GopherRepetition,
    "gopher_quality": GopherQuality,
    "c4": C4,
    "fineweb": Fineweb,
}
SPLITS = ("fast", "datatrove")
BLOCK = 250


@dataclass(frozen=True)
class Verdict:
    """`kept` or a reason, and the text that is left of a kept document."""

    reason: str
    text: str = ""


@dataclass
class Tally:
    """What one filter came to."""

    texts: int = 0
    agreed: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    kept: int = 0
    causes: dict[str, Counter[str]] = field(default_factory=lambda: {split: Counter() for split in SPLITS})


def datatrove_blocks() -> dict[str, Any]:
    """datatrove's blocks as its FineWeb recipe builds them."""
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    return {
        "gopher_repetition": GopherRepetitionFilter(),
        "gopher_quality": GopherQualityFilter(),
        "c4": C4QualityFilter(filter_no_terminal_punct=False),
        "fineweb": FineWebQualityFilter(),
    }


def texts_of(paths: list[Path]) -> Iterator[str]:
    """The main content of every page of the WARC files."""
    files = [file for path in paths for file in (sorted(path.glob("*.warc.gz")) if path.is_dir() else [path])]
    if not files:
        sys.exit(f"parity: no *.warc.gz in {', '.join(map(str, paths))}")
    for file in files:
        with file.open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
                body = record.reader.read()
                yield extract_plain_text(bytes_to_str(body, detect_encoding(body)), main_content=True, alt_texts=False)


def their_verdict(name: str, block: Any, text: str) -> Verdict:
    """What datatrove's block says of one text."""
    from datatrove.data import Document as TheirDocument

    document = TheirDocument(text=text, id="")
    result = block.filter(document)
    if result is True:
        return Verdict("kept", document.text)
    reason = result[1]
    return Verdict(REASONS[name].get(reason, reason))


def our_verdict(stage: Any, doc: Document) -> Verdict:
    """What our stage says of the same."""
    result = stage(doc)
    return Verdict(result.reason) if isinstance(result, Drop) else Verdict("kept", result.text)


def cause(theirs: Verdict, ours: Verdict, exact: Verdict) -> str:
    """Why a filter of ours disagrees; `exact` is the same stage with datatrove's own splitter."""
    change = f"{theirs.reason} there, {ours.reason} here"
    if exact == theirs:
        return f"word splitting: {change}"
    if {theirs.reason, ours.reason} == {"lorem_ipsum", "curly_bracket"}:
        return "both faults in one text: datatrove names the one it meets first, we name lorem ipsum"
    if theirs.reason == ours.reason == "kept":
        return "kept by both, cleaned differently"
    return f"unexplained: {change}"


def judge(name: str, side: str, stage: Any, text: str, doc: Document) -> Verdict:
    """What one filter of one side says."""
    return their_verdict(name, stage, text) if side == "theirs" else our_verdict(stage, doc)


def compare(all_texts: Iterator[str], limit: int | None) -> tuple[dict[str, Tally], Tally]:
    """Run both sides over the texts: a tally for each filter, and one of all filters over kept texts of 4 to 6 KB.

    The sides take turns of BLOCK texts: text by text each would find the processor's caches full of the other's data.
    """
    sides = {"theirs": datatrove_blocks()}
    sides |= {split: {name: make(word_split=split) for name, make in OURS.items()} for split in SPLITS}
    tallies, middling = {name: Tally() for name in OURS}, Tally()
    for side, name in itertools.product(sides, OURS):  # loading models and compiled code is no cost of a text
        judge(name, side, sides[side][name], "One text.", Document(id="", url="", text="One text.", language="en"))
    limited = itertools.islice(all_texts, limit)
    while texts := list(itertools.islice(limited, BLOCK)):
        print(f"{tallies['c4'].texts} texts", file=sys.stderr, flush=True)
        verdicts, seconds = [defaultdict(dict) for _ in texts], [defaultdict(dict) for _ in texts]
        for side, stages in sides.items():
            for number, text in enumerate(texts):
                doc = Document(id="", url="", text=text, language="en")
                for name, stage in stages.items():
                    start = time.process_time()
                    verdicts[number][name][side] = judge(name, side, stage, text, doc)
                    seconds[number][name][side] = time.process_time() - start
        for text, said, spent in zip(texts, verdicts, seconds, strict=True):
            for name, tally in tallies.items():
                record(tally, said[name], spent[name])
            if 4000 <= len(text) <= 6000 and all(said[name]["theirs"].reason == "kept" for name in OURS):
                middling.texts += 1
                for side in sides:
                    middling.seconds[side] += sum(spent[name][side] for name in OURS)
    return tallies, middling


def record(tally: Tally, verdicts: dict[str, Verdict], seconds: dict[str, float]) -> None:
    """Count one text's verdicts and times."""
    theirs = verdicts["theirs"]
    tally.texts += 1
    for side, spent in seconds.items():
        tally.seconds[side] += spent
    tally.kept += theirs.reason == "kept"
    for split in SPLITS:
        if verdicts[split] == theirs:
            tally.agreed[split] += 1
        else:
            tally.causes[split][cause(theirs, verdicts[split], verdicts["datatrove"])] += 1


def milliseconds(tally: Tally) -> dict[str, float]:
    """CPU time per text of each side."""
    return {side: 1000 * seconds / max(tally.texts, 1) for side, seconds in tally.seconds.items()}


def summary(tallies: dict[str, Tally], middling: Tally) -> dict[str, Any]:
    """The figures for a program."""

    def agreement(split: str) -> dict[str, float]:
        return {name: tally.agreed[split] / max(tally.texts, 1) for name, tally in tallies.items()}

    return {
        "texts": next(iter(tallies.values())).texts,
        "agreement": agreement("fast"),
        "agreement_datatrove_split": agreement("datatrove"),
        "causes": {name: {split: dict(tally.causes[split]) for split in SPLITS} for name, tally in tallies.items()},
        "cpu_ms_per_text": {name: milliseconds(tally) for name, tally in tallies.items()},
        "all_filters_kept_texts_of_4_to_6_kb": {"texts": middling.texts, "cpu_ms_per_text": milliseconds(middling)},
    }


def show(tallies: dict[str, Tally], middling: Tally) -> None:
    """The figures for a reader."""
    sides = {"theirs": "datatrove", "fast": "ours", "datatrove": "ours*"}
    print(
        "* with word_split: datatrove\n" + f"{'filter':18} {'texts':>6} {'kept':>6} {'agree':>9} {'agree*':>9}", end=""
    )
    print("   CPU ms per text: " + ", ".join(sides.values()))
    for name, tally in tallies.items():
        agree = " ".join(f"{100 * tally.agreed[split] / max(tally.texts, 1):8.3f}%" for split in SPLITS)
        times = milliseconds(tally)
        print(
            f"{name:18} {tally.texts:6} {tally.kept:6} {agree}   " + ", ".join(f"{times[side]:.3f}" for side in sides)
        )
    if middling.texts:
        times = milliseconds(middling)
        print(f"all four, on the {middling.texts} texts of 4,000 to 6,000 characters that all keep: ", end="")
        print(
            ", ".join(f"{times[side]:.3f}" for side in sides)
            + f" CPU ms: {times['theirs'] / times['fast']:.0f} times less"
        )
    for split in SPLITS:
        print(f"\ncauses of difference, word_split: {split}")
        for name, tally in tallies.items():
            for why, count in tally.causes[split].most_common():
                print(f"  {count:6}  {name}: {why}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="*", type=Path, default=[SHARED / "web"], metavar="WARC_OR_FOLDER")
    parser.add_argument("--limit", type=int, default=None, help="stop after this many texts")
    parser.add_argument("--json", action="store_true", help="one object as the last line")
    arguments = parser.parse_args()
    tallies, middling = compare(texts_of(arguments.inputs), arguments.limit)
    show(tallies, middling)
    if arguments.json:
        print(json.dumps(summary(tallies, middling)))


if __name__ == "__main__":
    main()
