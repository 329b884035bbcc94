"""Run folders made by hand, for tests that need no build."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract.run import RunRecord


def run_record(**fields: Any) -> RunRecord:
    """The record of a finished run without inputs; `fields` in place of its own."""
    plain = {"version": "1.0", "versions": {}, "config": {}, "fingerprint": "f" * 64, "seed": 0, "inputs": (),
             "files": {}, "state": "done"}  # fmt: skip
    return RunRecord(**{**plain, **fields})


def write_part(folder: Path, name: str, rows: Sequence[dict[str, Any]]) -> None:
    """A part of a table of a run, with the columns that the rows have."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), folder / f"part-{name}.parquet")
