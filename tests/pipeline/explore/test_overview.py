"""What came of a run as a whole, from its record and from parts made by hand."""

import pytest
from run_records import run_record, write_part

from pipeline.contract.run import Totals
from pipeline.explore.folder import Folder
from pipeline.explore.overview import FlowStep, committed, flow, quarantined_by_step

CONFIG = {"extract": [], "filter": [], "dedup": {}, "line_dedup": None, "substring_dedup": None, "tokenize": {}}
TOTALS = Totals(read=20, kept=9, quarantined=3,
                dropped={"extract.url_filter.domain": 2, "filter.my.module.Stage.bad": 1, "filter.c4.bad": 4,
                         "tokenize.pii.too_much": 1})  # fmt: skip


def test_what_a_step_keeps_enters_the_next():
    record = run_record(config=CONFIG, totals=TOTALS)
    assert flow(record, {"extract": 2, "filter": 1}) == [
        FlowStep("extract", 20, 16, 2, 2),
        FlowStep("filter", 16, 10, 5, 1),
        FlowStep("dedup", 10, 10, 0, 0),
        FlowStep("tokenize", 10, 9, 1, 0),
    ]


def test_a_step_that_the_run_did_without_is_not_shown():
    record = run_record(config={**CONFIG, "dedup": None, "line_dedup": {}}, totals=Totals(read=1, kept=1))
    assert [step.name for step in flow(record, {})] == ["extract", "filter", "line_dedup", "tokenize"]


def test_pages_of_one_step_are_counted_without_reading_a_file(tmp_path):
    assert quarantined_by_step(Folder(tmp_path), 0) == ({"extract": 0}, True)
    (tmp_path / "quarantine").mkdir()
    (tmp_path / "quarantine/part-filter-00000.parquet").write_bytes(b"unreadable")
    assert quarantined_by_step(Folder(tmp_path), 5) == ({"filter": 5}, True)


@pytest.mark.parametrize(("total", "found"), [(3, ({"extract": 2, "filter": 1}, True)), (4, ({"extract": 4}, False))])
def test_pages_of_several_steps_are_counted_and_have_to_add_up(tmp_path, total, found):
    write_part(tmp_path / "quarantine", "extract-00000", [{"step": "extract"}] * 2)
    write_part(tmp_path / "quarantine", "filter-00000", [{"step": "filter"}])
    assert quarantined_by_step(Folder(tmp_path), total) == found


def test_parts_of_an_unfinished_run_are_counted_by_step(tmp_path):
    for folder, name in (("steps/extract/documents", "00000"), ("steps/extract/documents", "00001"),
                         ("steps/filter/documents", "00000"), ("dropped", "extract-00000"),
                         ("dropped", "filter-00000"), ("dropped", "filter-00001")):  # fmt: skip
        write_part(tmp_path / folder, name, [{"id": "a"}])
    record = run_record(config=CONFIG, state="running")
    assert committed(Folder(tmp_path), record) == [
        ("extract", 2, 1), ("filter", 1, 2), ("dedup", 0, 0), ("tokenize", 0, 0)]  # fmt: skip
