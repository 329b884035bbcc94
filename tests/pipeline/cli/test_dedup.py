"""`tokenmill dedup plan`: what it prints, and what it refuses."""

import json

import pytest
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.contract.errors import ConfigError, UserError


def run(*arguments: str):
    result = CliRunner().invoke(app, ["dedup", "plan", *arguments], catch_exceptions=True)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def test_the_plan_shows_curve_suggestion_and_cost():
    shown = run("--threshold", "0.75", "--documents", "3e8", "--memory", "2GB")
    for line in (
        "14 bands of 8",
        "12 bands of 6",
        "92.4 GB",
        "29.5",
        "dedup.minhash.bands=12",
        "The suggestion finds 0.905 of the pairs at 0.75 (asked: 0.9) instead of 0.772",
        "300,000,000 documents",
    ):
        assert line in shown
    table = [line.split("│") for line in shown.splitlines() if line.startswith("P(found) at 0.75")]
    assert [[cell.strip() for cell in row[1:]] for row in table] == [["0.772", "0.905"]]


def test_the_plan_as_json():
    tree = json.loads(run("--threshold", "0.8", "--recall", "0.95", "--hashes", "128", "--documents", "1e3", "--json"))
    assert (tree["wanted"], tree["recall"]) == (0.8, 0.95)
    suggested = tree["suggested"]
    assert suggested["found"] == pytest.approx(1 - (1 - 0.8 ** suggested["rows"]) ** suggested["bands"])
    assert suggested["found"] >= 0.95
    assert suggested["hashes"] == suggested["rows"] * suggested["bands"] <= 128
    assert tree["config"]["documents"] == 1000
    assert suggested["s_curve"][8] == [0.8, pytest.approx(suggested["found"])]


def test_a_config_that_is_best_already_is_left_alone():
    shown = run("--threshold", "0.75", "--recall", "0.77")
    assert "the config is best" in shown
    assert "To use the suggestion" not in shown


def test_the_probability_at_the_threshold_is_shown_wherever_that_lies():
    assert "P(found) at 0.72 " in run("--threshold", "0.72")


def test_bands_and_rows_come_from_the_config(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("dedup: {minhash: {bands: 3, rows: 4}}")
    assert "3 bands of 4" in run("--config", str(path))
    path.write_text("dedup: {minhash: null}")
    assert "exact duplicates alone" in run("--config", str(path), "--threshold", "0.7")
    path.write_text("dedup: null")
    with pytest.raises(UserError, match="is null: nothing is deduplicated"):
        run("--config", str(path))
    path.write_text("dedup: {minhash: {band: 3}}")
    with pytest.raises(ConfigError, match="did you mean 'bands'"):
        run("--config", str(path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--documents", "-1"), "--documents: expected a whole number such as 1000000 or 3e8, got '-1'"),
        (("--documents", "1.5"), "got '1.5'"),
        (("--documents", "inf"), "got 'inf'"),
        (("--documents", "many"), "got 'many'"),
        (("--memory", "0GB"), "--memory: expected a size such as 2GB or 512MiB, got '0GB'"),
        (("--memory", "2 parsecs"), "got '2 parsecs'"),
        (("--recall", "0.9"), "--recall: is of the pairs at a threshold"),
        (("--threshold", "0.5", "--recall", "1"), "recall: must be above 0 and below 1, got 1.0"),
        (("--threshold", "1"), "threshold: must be above 0 and below 1, got 1.0"),
    ],
)
def test_what_the_plan_refuses(arguments, message):
    with pytest.raises(UserError, match=message):
        run(*arguments)
