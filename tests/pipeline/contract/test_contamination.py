"""The states of benchmark items, from tables made by hand."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from run_records import run_record

from pipeline.contract.contamination import ITEMS, ITEMS_SCHEMA, read_contamination
from pipeline.contract.errors import InputError


def item(name, *, checked=True, kept=0, dropped=0, benchmark="mill.jsonl"):
    return {"benchmark": benchmark, "item": name, "checked": checked, "kept": kept, "dropped": dropped,
            "ngrams": 0, "length": 0, "share": 0.0}  # fmt: skip


def write_run(out, items, **fields):
    """A run folder that holds no more than its record and the items."""
    out.mkdir(exist_ok=True)
    run_record(**fields).write(out)
    (out / ITEMS).parent.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(items, ITEMS_SCHEMA), out / ITEMS)
    return out


def states(out, items):
    return {key[1]: state for key, state in read_contamination(write_run(out, items)).states.items()}


def test_only_a_match_on_a_page_that_was_kept_contaminates(tmp_path):
    items = [item("a"), item("b", kept=1), item("c", dropped=7), item("d", checked=False)]
    assert states(tmp_path, items) == {"a": "clean", "b": "contaminated", "c": "clean", "d": "unchecked"}


@pytest.mark.parametrize(
    ("pair", "state"),
    [
        ([item("x"), item("x", kept=1)], "contaminated"),
        ([item("x", kept=1), item("x", checked=False)], "contaminated"),
        ([item("x"), item("x", checked=False)], "unchecked"),
        ([item("x", checked=False), item("x")], "unchecked"),
    ],
)
def test_of_two_items_with_one_id_the_worse_state_holds(tmp_path, pair, state):
    assert states(tmp_path, pair) == {"x": state}


def test_files_are_those_of_benchmarks_that_have_items(tmp_path):
    files = {"/data/mill.jsonl": "a" * 64, "/data/tokenizer.json": "b" * 64}
    out = write_run(tmp_path, [item("1"), item("1", benchmark="gone.jsonl")], files=files)
    assert read_contamination(out).files == {"mill.jsonl": "a" * 64}


def test_a_run_that_is_not_done_or_never_looked_is_refused(tmp_path):
    out = write_run(tmp_path, [item("a")], state="failed")
    with pytest.raises(InputError, match="is failed, not done"):
        read_contamination(out)
    out = write_run(tmp_path, [item("a")])
    (out / ITEMS).write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"items\.parquet: cannot be read as parquet"):
        read_contamination(out)
    (out / ITEMS).unlink()
    with pytest.raises(InputError, match="has not looked for benchmark items"):
        read_contamination(out)
