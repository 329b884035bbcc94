"""`tokenmill forecast`: what it refuses, and what was forecast beside what came."""

import dataclasses

import pytest
from run_records import run_record
from typer.testing import CliRunner

from pipeline.cli.forecast import show_comparison
from pipeline.cli.main import app
from pipeline.contract.errors import InputError, UserError
from pipeline.contract.run import Totals
from pipeline.tools.forecast import Forecast, Range, config_identity, save_forecast

CONFIG = {"input": {}, "filter": ["c4"], "run": {}}


def about(estimate, low=None, high=None):
    return Range(estimate=estimate, low=low, high=high)


def made(**fields):
    """A forecast for CONFIG; `fields` in place of its own."""
    values = {field.name: about(0.0) if field.type is Range else 0 for field in dataclasses.fields(Forecast)}
    return Forecast(**{**values, "core_hours_by_step": {}, "config": config_identity(CONFIG), **fields})


def compared(out, capsys, forecast, **fields):
    """The rows of the table, by name."""
    save_forecast(forecast, out)
    show_comparison(out, run_record(config=CONFIG, **fields))
    rows = [[cell.strip() for cell in line.split("│")] for line in capsys.readouterr().out.splitlines() if "│" in line]
    return {name: rest for name, *rest in rows}


def test_what_came_is_shown_with_whether_it_lies_in_the_band(tmp_path, capsys):
    forecast = made(records=about(1000.0, 900.0, 1200.0), kept=about(500.0, 450.0, 600.0), tokens=about(7e6))
    found = compared(tmp_path, capsys, forecast, totals=Totals(records=1200, kept=601, tokens=6_543_210))
    assert found["records"] == ["1,000", "1,200", "yes"]
    assert found["kept"] == ["500", "601", "no"]
    assert found["tokens"] == ["7,000,000", "6,543,210", ""]


@pytest.mark.parametrize(
    ("hours", "size", "shown"),
    [
        (1.0, 999.0, ["1.0 h", "999 B"]),
        (0.5, 1000.0, ["30.0 min", "1.0 kB"]),
        (0.01, 2.5e6, ["36.0 s", "2.5 MB"]),
        (1234.0, 7e9, ["1,234.0 h", "7.0 GB"]),
        (0.0, 1.5e15, ["0.0 s", "1,500.0 TB"]),
    ],
)
def test_hours_and_bytes_have_the_unit_that_fits(tmp_path, capsys, hours, size, shown):
    found = compared(tmp_path, capsys, made(core_hours=about(hours), disk_bytes=about(size)))
    assert [found["core hours"][0], found["disk bytes"][0]] == shown


def test_without_a_forecast_for_this_config_nothing_is_shown(tmp_path, capsys):
    show_comparison(tmp_path, run_record(config=CONFIG))
    save_forecast(made(config="another"), tmp_path)
    show_comparison(tmp_path, run_record(config=CONFIG))
    assert capsys.readouterr().out == ""


def refused(*arguments):
    return CliRunner().invoke(app, ["forecast", *map(str, arguments)]).exception


def test_what_cannot_be_forecast_is_refused_before_anything_is_sampled(tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("tokenize: {train_tokenizer: {vocabulary_size: 300}}\n")
    (tmp_path / "file").touch()
    for found, message in (
        (refused(config, "--output", tmp_path / "file"), "is a file"),
        (
            refused(config, "--dollars-per-core-hour", "inf"),
            "--dollars-per-core-hour: must be a finite number, got inf",
        ),
    ):
        assert isinstance(found, UserError) and message in str(found)
    assert isinstance(refused(config, "--input", f"{tmp_path}/*.gz"), InputError)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.yaml", "file"]
