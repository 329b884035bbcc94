"""Benchmark items as hashes of runs of words."""

import json

import numpy as np

from pipeline.stages.decontaminate import Decontaminate
from pipeline.stages.support.benchmark_index import read_items, runs


def write(path, *items):
    path.write_text("\n".join(json.dumps(item) for item in items), encoding="utf-8")
    return str(path)


def test_fields_may_be_nested_and_are_joined_in_the_order_given(tmp_path):
    path = write(tmp_path / "b.jsonl", {"id": 7, "q": {"stem": "two", "options": ["three", 4, ""]}, "passage": "one"})
    [item] = read_items(path, ("passage", "q.stem", "q.options"))
    assert item == ("b.jsonl", "7", "one two", ("three",))
    [item] = read_items(path, ("q.stem", "passage"))
    assert item.question == "two one"


def test_equal_runs_have_equal_hashes_whatever_stands_around_them():
    values = np.arange(100, 120, dtype=np.uint64)
    found = dict(runs(values, (5, 3)))
    assert [len(found[3]), len(found[5])] == [18, 16]
    assert found[5][4] == dict(runs(values[4:9], (5,)))[5][0]
    assert len({*found[3].tolist(), *found[5].tolist()}) == 34
    assert dict(runs(values[:4], (3, 5))).keys() == {3}


def test_real_benchmark_items_are_found_inside_pages(make_doc, shared_data):
    paths = tuple(str(shared_data / "eval" / f"{name}.jsonl") for name in ("hellaswag", "gsm8k", "arc_easy"))
    stage = Decontaminate(benchmarks=paths)
    items = [item for path in paths for item in read_items(path, stage.fields)]
    assert len(items) == 500 + 660 + 570
    checked = 0
    for item in items[::23]:
        page = make_doc(f"Welcome to the quiz page.\n\n1. {item.question}\nA) {' B) '.join(item.choices)}\n\nNext")
        if len(make_doc(item.question).features.normal_words) >= 13:
            checked += 1
            assert (item.benchmark, item.id) in {(o.benchmark, o.item) for o in stage.overlaps(page)}
    assert checked > 50
    prose = make_doc((shared_data / "pretrain" / "tinyshakespeare.txt").read_text("utf-8")[:200_000])
    assert stage(prose) is prose
