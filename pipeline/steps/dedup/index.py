"""After step 4: the signatures of the documents that were kept, for later runs to be compared with.

signatures of step 3 + OUT/documents -> OUT/steps/index        one task per group of parts
"""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.contract.errors import IntegrityError
from pipeline.dedup.array_file import ArrayFile, write_arrays
from pipeline.dedup.signature_index import INDEX_VERSION, Rows, compact
from pipeline.engine.ledger import Commit, Ledger
from pipeline.steps.committing import commit_file
from pipeline.steps.context import Commits, Context, Part
from pipeline.steps.dedup.clusters import SIGNATURES
from pipeline.steps.dedup.step import group_parts

STEP = "index"
_KEY = ["id", "warc_path", "warc_offset"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class IndexTask:
    """One group of parts."""

    key: str
    out: Path
    before: tuple[Part, ...]
    """As they went into step 3, which signed them."""
    after: tuple[Part, ...]
    """As they stand in OUT/documents."""
    signature: Path


def run(context: Context, before: Sequence[Part], after: Sequence[Part]) -> Commits:
    """The commits of the step, one per group.

    Args:
        context: the run.
        before: parts that went into step 3.
        after: the same, in OUT/documents.
    """
    signed, final = Ledger(context.out, SIGNATURES).committed(), {part.key: part for part in after}
    tasks = []
    for number, group in enumerate(group_parts(before)):
        key = f"{number:06d}"
        tasks.append(IndexTask(key=key, out=context.out, before=group, after=tuple(final[part.key] for part in group),
                               signature=context.out / signed[key].files[0].path))  # fmt: skip
    return context.run(STEP, index_group, tasks)


def index_group(task: IndexTask) -> Commit:
    """Write the index of a group and commit it."""
    start = time.process_time()
    first, kept = 0, [np.empty(0, np.int64)]
    for before, after in zip(task.before, task.after, strict=True):
        kept.append(first + _rows_kept(before, after))
        first += before.rows
    rows = np.concatenate(kept)
    notes = {"version": INDEX_VERSION, "parts": [[part.key, part.rows] for part in task.after]}
    arrays = compact(ArrayFile(task.signature), rows)
    return commit_file(task.out, STEP, task.key, lambda path: write_arrays(path, arrays), start,
                       {"documents": len(rows)}, notes)  # fmt: skip


def _rows_kept(before: Part, after: Part) -> Rows:
    """The row in `before` of every row in `after`."""
    found = pc.index_in(_keys(after), value_set=_keys(before))
    rows = found.to_numpy(zero_copy_only=False)
    if found.null_count or (np.diff(rows.astype(np.int64)) <= 0).any():
        raise IntegrityError(f"{after.path}: its documents are not those of {before.path} in their order")
    return np.asarray(rows, np.int64)


def _keys(part: Part) -> pa.Array:
    table = pq.read_table(part.path, columns=_KEY)
    columns = [table[name].cast(pa.string()).combine_chunks() for name in _KEY]
    keys = pc.binary_join_element_wise(*columns, "\n")
    return keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
