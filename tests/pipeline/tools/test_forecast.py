"""The forecast beside what came, and the estimator beside values worked out by hand."""

import dataclasses
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner
from warc_pages import Page, article, write_warc

from pipeline import flow
from pipeline.cli.main import app
from pipeline.config import load_config
from pipeline.sources import read_records
from pipeline.sources.listing import expand
from pipeline.sources.sampling import take_sample
from pipeline.tools.forecast import Range, compare, forecast, load_forecast, ratio_estimate, save_forecast
from pipeline.tools.schedule import schedule

CONFIG = """
extract: [{main_text: {engine: resiliparse}}]
dedup: {exact: true, minhash: null}
tokenize: {train_tokenizer: {vocabulary_size: 300}}
"""


def test_the_ratio_estimator_by_hand():
    # ratio 30/10 = 3; residuals 1, -1; spread (1 + 1) / 1 = 2; error sqrt((1 - 0.1) * 2 / 2) / 5 * 100 = 18.97
    found = ratio_estimate([4, 6], [13, 17], 100)
    assert found.estimate == 300
    assert found.high == pytest.approx(300 + 6.31 * 18.9737, abs=0.01)
    assert found.low == pytest.approx(300 - 6.31 * 18.9737, abs=0.01)
    assert ratio_estimate([4], [13], 8) == Range(estimate=26, low=None, high=None)
    assert ratio_estimate([4, 4], [1, 3], 8) == Range(estimate=4, low=4, high=4)


@pytest.fixture(scope="module")
def crawl(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crawl")
    for number in range(3):
        pages = [Page(url=f"https://a.example/{100 * number + i}", html=article(100 * number + i)) for i in range(40)]
        write_warc(folder / f"{number}.warc.gz", pages)
    (folder / "c.yaml").write_text(CONFIG)
    return folder


def test_stretches_are_bytes_of_the_inputs(crawl, tmp_path):
    inputs = expand([f"{crawl}/*.warc.gz"])
    sample = take_sample(inputs, 24, tmp_path)
    assert len(sample) == 12
    for one in sample:
        assert one.path.read_bytes() in (crawl / one.input.path).read_bytes()
        assert one.path.stat().st_size == one.bytes
    whole = [record.id for item in inputs for record in read_records(item.path)]
    taken = [record.id for one in sample for record in read_records(str(one.path))]
    assert 12 <= len(taken) <= 24 + 3
    assert set(taken) < set(whole)
    assert len(set(taken)) == len(taken), "two stretches overlap"


def test_another_seed_takes_other_stretches(crawl, tmp_path):
    inputs = expand([f"{crawl}/*.warc.gz"])
    contents = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        contents.append([one.path.read_bytes() for one in take_sample(inputs, 24, tmp_path / name, seed=seed)])
    assert contents[0] == contents[1] != contents[2]


def test_rows_are_sampled_too(tmp_path):
    rows = [{"text": f"text number {number}"} for number in range(1000)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet", row_group_size=100)
    for name in ("a.jsonl", "b.jsonl.gz", "c.parquet"):
        home = tmp_path / f"of-{name}"
        home.mkdir()
        [item] = expand([str(tmp_path / name)])
        sample = take_sample([item], 100, home)
        found = [record for one in sample for record in read_records(str(one.path))]
        assert not [record.fault for record in found if record.fault]
        assert {record.text for record in found} <= {row["text"] for row in rows}
        share = len(found) / 1000
        assert 0.005 <= share <= 0.11, name
        if not name.endswith(".gz"):  # a compressed file says only roughly how far one has read
            assert sum(one.bytes for one in sample) / item.bytes == pytest.approx(share, rel=0.2)


def test_a_forecast_of_everything_is_what_comes(crawl, tmp_path):
    config = load_config(crawl / "c.yaml", inputs=[f"{crawl}/*.warc.gz"], output=str(tmp_path / "out"), local=True)
    made = forecast(config, records=60, workers=4)
    save_forecast(made, tmp_path / "out")
    assert load_forecast(tmp_path / "out") == made
    record = flow.build(config, quiet=True)
    assert made.records.estimate == pytest.approx(record.totals.records, rel=0.25)
    assert made.kept.estimate == pytest.approx(record.totals.kept, rel=0.25)
    assert made.hours.estimate > made.core_hours.estimate / 3  # three inputs
    assert sum(made.core_hours_by_step.values()) == pytest.approx(made.core_hours.estimate)
    compared = {one.name: one for one in compare(tmp_path / "out", record)}
    assert compared["tokens"].actual == record.totals.tokens
    assert compared["core_hours"].actual > 0


@pytest.fixture(scope="module")
def of_three(crawl):
    """A forecast for one worker, with files of about one size."""
    config = load_config(crawl / "c.yaml", inputs=[f"{crawl}/*.warc.gz"], local=True)
    return forecast(config, records=12, dollars_per_core_hour=0.5)


def test_one_worker_takes_the_core_hours_and_costs_them(of_three):
    assert of_three.hours.estimate == pytest.approx(of_three.core_hours.estimate)
    for name in ("estimate", "low", "high"):
        hours, dollars, booked = (getattr(of_three, of) for of in ("core_hours", "dollars", "dollars_booked"))
        assert getattr(dollars, name) == pytest.approx(0.5 * getattr(hours, name))
        assert getattr(booked, name) == pytest.approx(getattr(dollars, name))


def test_workers_beyond_the_tasks_shorten_nothing_and_cost_the_same_for_each(crawl):
    config = load_config(crawl / "c.yaml", inputs=[f"{crawl}/*.warc.gz"], local=True)
    made = forecast(config, records=12, workers=96)
    assert made.tasks == 3
    assert made.longest_task_hours < made.hours.estimate < made.core_hours.estimate
    assert made.hours.estimate > made.core_hours.estimate / 3
    assert made.dollars_booked.estimate == pytest.approx(96 * made.hours.estimate * 0.04)


def test_a_schedule_ends_with_its_longest_task_and_waits_between_steps():
    found = schedule({"extract": [5.0, 1.0, 1.0, 1.0], "clusters": [2.0]}, 96)
    assert (found.hours, found.tasks, found.longest_task_hours) == (7.0, 4, 5.0)
    assert schedule({"extract": [1.0] * 8}, 7).hours == 2.0  # the eighth waits
    assert schedule({"extract": [1.0, 1.0, 4.0]}, 2).hours == 5.0  # the longest comes last
    assert schedule({"extract": [1.0] * 1000}, 10).hours == 100
    assert schedule({}, 3).hours == schedule({"a": []}, 3).hours == 0


def test_the_command_says_how_many_workers_have_work_and_what_it_costs(crawl):
    arguments = ["forecast", str(crawl / "c.yaml"), "--input", f"{crawl}/*.warc.gz", "--records", "12"]
    done = CliRunner().invoke(app, [*arguments, "--workers", "96", "--dollars-per-core-hour", "1.5"])
    assert "3 tasks: at most 3 workers have work" in done.output
    assert "cost at $1.5 a core-hour" in done.output


def test_a_forecast_for_another_config_is_not_compared(crawl, tmp_path):
    config = load_config(crawl / "c.yaml", inputs=[f"{crawl}/*.warc.gz"], output=str(tmp_path / "out"), local=True)
    band = Range(estimate=1.0, low=0.0, high=2.0)
    made = dataclasses.replace(forecast(config, records=12), config="another", records=band)
    save_forecast(made, tmp_path / "out")
    assert compare(tmp_path / "out", flow.build(config, quiet=True)) == []


def test_a_forecast_says_once_that_rules_are_made_for_another_language(crawl, tmp_path, capsys):
    (tmp_path / "c.yaml").write_text(CONFIG.replace("}}]", "}}, {language_id: {keep: [en, de]}}]\nfilter: [fineweb]"))
    forecast(load_config(tmp_path / "c.yaml", inputs=[f"{crawl}/*.warc.gz"], local=True), records=12)
    assert capsys.readouterr().err.count("warning: filter.fineweb: ") == 1
