"""What the report says of benchmark items, counted from tables made by hand."""

import pyarrow as pa
import pyarrow.parquet as pq
from run_records import run_record

from pipeline.contract.contamination import ITEMS, ITEMS_SCHEMA, MATCHES, MATCHES_SCHEMA
from pipeline.contract.run import Totals
from pipeline.report.contamination import MAX_MATCHES, Benchmark, collect_contamination


def row(schema, **fields):
    empty = {"string": "", "bool": True}
    return {field.name: empty.get(str(field.type), 0) for field in schema} | fields


def item(name, kept=0, dropped=0, length=0, checked=True):
    return row(ITEMS_SCHEMA, benchmark="arc", item=name, kept=kept, dropped=dropped, length=length, checked=checked)


def write(out, items, matches):
    for name, schema, rows in ((ITEMS, ITEMS_SCHEMA, items), (MATCHES, MATCHES_SCHEMA, matches)):
        (out / name).parent.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, schema), out / name)


def test_a_run_that_looked_for_none_has_nothing_to_say(tmp_path):
    assert collect_contamination(tmp_path, run_record()) is None


def test_items_are_counted_once_and_the_kept_ones_come_first(tmp_path):
    items = [item("a"), item("b", dropped=3, length=30), item("c", kept=1, dropped=1, length=13),
             item("d", kept=2, length=20), item("e", checked=False)]  # fmt: skip
    matches = [row(MATCHES_SCHEMA, benchmark="arc", item="d", id=str(n), url="https://a.example/") for n in range(7)]
    write(tmp_path, items, matches)
    dropped = {"tokenize.decontaminate.benchmark_overlap": 4, "filter.c4.curly_bracket": 9}
    totals = Totals(records=0, read=0, kept=0, quarantined=0, tokens=0, dropped=dropped)
    found = collect_contamination(tmp_path, run_record(totals=totals))
    assert found.benchmarks == [Benchmark("arc", items=5, kept=2, dropped=1, unchecked=1)]
    assert found.benchmarks[0].clean == 1
    assert [shown["item"] for shown in found.items] == ["d", "c", "b"]
    assert [len(shown["matches"]) for shown in found.items] == [MAX_MATCHES, 0, 0]
    assert (found.more_items, found.unchecked, found.unchecked_examples) == (0, 1, ["arc e"])
    assert found.left_by_stage == 4
