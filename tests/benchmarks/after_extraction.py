"""What a kept document costs after extraction: language ID, quality rules, personal data, shingles and signature.

    python tests/benchmarks/after_extraction.py [WARC_OR_FOLDER ...] [--rounds 5] [--json]

Default: data/web of the shared test data. Pages are extracted with the engine `adaptive`; measured are the documents of
4,000 to 6,000 characters that every stage of configs/pipeline/fineweb-en.yaml keeps, with that file's stages in its
order: the features of a text are computed by the stage that asks first. Each round starts from fresh documents; per
part the fastest round counts. CPU time of this process; loading of models is left out.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from pipeline.dedup.config import DedupConfig, MinHashConfig
from pipeline.dedup.signing import Signer
from pipeline.document import Document, Drop, Stage
from pipeline.sources import read_records
from pipeline.sources.record import Record
from pipeline.sources.screen import Screen
from pipeline.stages import name_of
from pipeline.stages.c4 import C4
from pipeline.stages.fineweb import Fineweb
from pipeline.stages.gopher_quality import GopherQuality
from pipeline.stages.gopher_repetition import GopherRepetition
from pipeline.stages.language_id import LanguageId
from pipeline.stages.language_prefilter import LanguagePrefilter
from pipeline.stages.main_text import MainText
from pipeline.stages.pii import Pii

SHARED = Path(os.environ.get("TOKENMILL_SHARED", Path(__file__).resolve().parents[3] / "shared" / "data"))
STAGES: tuple[Stage, ...] = (LanguageId(), GopherRepetition(), GopherQuality(), C4(), Fineweb(), Pii())
SIGNATURE = "shingles and signature"
MIN_CHARACTERS, MAX_CHARACTERS = 4000, 6000
AIM = 1.5
"""CPU ms."""


def extracted(inputs: list[Path]) -> Iterator[Document]:
    """The English documents of the right size in WARC files."""
    screen, prefilter, main_text = Screen(), LanguagePrefilter(), MainText(engine="adaptive")
    files = [file for path in inputs for file in (sorted(path.glob("*.warc.gz")) if path.is_dir() else [path])]
    for file in files:
        for record in read_records(str(file)):
            if not isinstance(record, Record) or not record.candidate or record.fault:
                continue
            doc = screen(record)
            for stage in (prefilter, main_text):
                doc = doc if isinstance(doc, Drop) else stage(doc)
            if isinstance(doc, Document) and MIN_CHARACTERS <= len(doc.text) <= MAX_CHARACTERS:
                yield doc


def is_kept(doc: Document) -> bool:
    """Whether every stage keeps it."""
    found: Document | Drop = doc
    for stage in STAGES:
        found = found if isinstance(found, Drop) else stage(found)
    return isinstance(found, Document)


def one_round(docs: list[Document]) -> dict[str, float]:
    """CPU seconds of each part over all documents."""
    seconds: dict[str, float] = {}
    texts = []
    for doc in docs:
        for stage in STAGES:
            start = time.process_time()
            doc = stage(doc)  # type: ignore[assignment]  # none is dropped
            seconds[name_of(type(stage))] = seconds.get(name_of(type(stage)), 0) + time.process_time() - start
        texts.append(doc.text)
    start = time.process_time()
    signer = Signer(DedupConfig(exact=True, minhash=MinHashConfig()))
    signer.add(texts, np.arange(len(texts), dtype=np.uint64), [""] * len(texts))
    signer.arrays()
    seconds[SIGNATURE] = time.process_time() - start
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="*", type=Path, default=[SHARED / "web"], metavar="WARC_OR_FOLDER")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one object as the last line")
    arguments = parser.parse_args()
    docs = [doc for doc in extracted(arguments.inputs) if is_kept(doc)]
    if not docs:
        sys.exit("after_extraction: no document of the right size is kept")
    rounds = [one_round([doc.replace(text=doc.text + " ") for doc in docs]) for _ in range(arguments.rounds)]
    parts = {name: 1000 * min(found[name] for found in rounds) / len(docs) for name in rounds[0]}
    total = 1000 * min(sum(found.values()) for found in rounds) / len(docs)
    mean = sum(len(doc.text) for doc in docs) / len(docs)
    print(f"{len(docs)} kept documents of {mean:,.0f} characters on average")
    for name, value in parts.items():
        print(f"{value:8.3f} CPU ms  {name}")
    print(f"{total:8.3f} CPU ms  in all; the aim is {AIM}")
    if arguments.json:
        found = {name: round(value, 4) for name, value in parts.items()}
        print(json.dumps({"documents": len(docs), "characters": round(mean), "ms": found, "total_ms": round(total, 4)}))


if __name__ == "__main__":
    main()
