"""Step 3 on documents given as texts: run it, kill it, look at what came out."""

import hashlib
import os
import random
import signal
import sys
import traceback
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.engine.progress import PlainProgress
from pipeline.engine.runner import LocalRunner
from pipeline.engine.settings import RunSettings
from pipeline.steps.context import Context, Part
from pipeline.steps.dedup import step as dedup_step
from pipeline.steps.registry import DEDUP
from pipeline.steps.tables import document_schema, signals_type

SIGNALS = signals_type(())
SCHEMA = document_schema(SIGNALS)


def document(name, text, **fields):
    row = dict.fromkeys(SCHEMA.names)
    return {**row, "id": name, "url": "", "dump": "", "language": "", "warc_path": "", "warc_offset": 0,
            "cluster_size": 1, "text": text, **fields}  # fmt: skip


def write_parts(folder, parts):
    """The parts of step 2, one for each list of rows."""
    folder.mkdir(parents=True)
    for number, rows in enumerate(parts):
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), folder / f"{number}.parquet")


def run_step(folder, out, config, runner=None, columns=None, **settings):
    """Step 3 on the parts in `folder`; (survivors, dropped) as lists of rows, of these columns where they have them."""
    files = sorted(folder.glob("*.parquet"), key=lambda path: int(path.stem))
    parts = [Part(key=f"{n:05d}", path=path, rows=pq.read_metadata(path).num_rows) for n, path in enumerate(files)]
    context = Context(out=out, settings=RunSettings(**settings), runner=runner or LocalRunner(),
                      progress=PlainProgress(quiet=True))  # fmt: skip
    dedup_step.run(context, parts, config, SIGNALS)
    return tuple(_rows(out / name, columns) for name in (DEDUP.folder, "dropped"))


def _rows(folder, columns):
    if not folder.exists():
        return []
    files = sorted(folder.glob("part-*.parquet"))
    wanted = [name for name in columns or pq.read_schema(files[0]).names if name in pq.read_schema(files[0]).names]
    return pq.read_table(folder, columns=wanted).to_pylist()


def outcome(kept, dropped):
    """Who stays and stands for how many; who goes, for whom, why and how similar."""
    sizes = {row["id"]: row["cluster_size"] for row in kept}
    return sizes, {row["id"]: (row["detail"], row["reason"], row["value"]) for row in dropped}


def files_of(out, *folders):
    """SHA-256 of every file in the folders (the survivors and the dropped, if none is named).

    What a killed attempt left under its own name (hidden) is nobody's.
    """
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders or (DEDUP.folder, "dropped")
        for path in sorted((out / folder).glob("[!.]*"))
    }


def letters(number):
    """A word for a number; digits would all be normalized to 0."""
    return "w" + "".join(chr(ord("a") + int(digit)) for digit in str(number))


def families(count, copies, seed=0, words=300, edits=(0, 2, 6, 15, 40, 100)):
    """Rows of `count` pages and `copies` of each, of which some words are edited: every similarity there is."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        page = [letters(rng.randrange(5000)) for _ in range(words)]
        for copy in range(copies + 1):
            edited = list(page)
            for place in rng.sample(range(words), rng.choice(edits) if copy else 0):
                edited[place] = letters(10_000 + rng.randrange(5000))
            rows.append(document(f"{number:04d}-{rng.randrange(10**9):09d}-{copy}", " ".join(edited)))
    rng.shuffle(rows)
    return rows


def killed_at(rename, work):
    """Run `work` in a child that kills itself (SIGKILL) when it renames a file and `rename(source, target)` holds.

    Returns:
        Whether it was killed; False if the work came to its end.
    """

    def watch(event, arguments):
        if event == "os.rename" and rename(Path(os.fsdecode(arguments[0])), Path(os.fsdecode(arguments[1]))):
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            sys.addaudithook(watch)
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a forked child of the tests must not return into them
            traceback.print_exc()
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False
