"""How wide tables are where nobody looks at a terminal."""

import pytest

from pipeline.cli.console import LOG_COLUMNS, console


@pytest.mark.parametrize(("columns", "width"), [(None, LOG_COLUMNS), ("72", 72)])
def test_a_log_is_as_wide_as_columns_says(monkeypatch, columns, width):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    assert console().width == width


def test_a_line_of_a_log_is_not_cut_to_a_screen_and_quiet_says_nothing(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    console(quiet=True).print("nothing")
    console().print("x " * 60)
    assert capsys.readouterr().out == f"{'x ' * 60}\n"
