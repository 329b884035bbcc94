"""`tokenmill sweep`: the table of a grid, its notes and examples."""

import json

import pytest
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.config import load_config
from pipeline.contract.errors import ConfigError
from pipeline.flow import build

WORDS = "filter.gopher_quality.min_words"
CONFIG = """
input: {format: jsonl}
filter: [{gopher_quality: {min_words: 10, min_stop_words: 0}}]
dedup: null
tokenize: {train_tokenizer: {vocabulary_size: 300}}
run: {local: true, isolate: false}
"""


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A run over texts of 5, 10, 15 and 20 words, of which it kept three."""
    folder = tmp_path_factory.mktemp("sweep")
    rows = [{"id": str(n), "url": f"https://a.example/{n}", "text": "river town " * (n // 2) + "sea" * (n % 2)}
            for n in (5, 10, 15, 20)]  # fmt: skip
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "c.yaml").write_text(CONFIG)
    build(load_config(folder / "c.yaml", inputs=[f"{folder}/rows.jsonl"], output=str(folder / "out")), quiet=True)
    return folder / "out"


def run(*arguments):
    result = CliRunner().invoke(app, ["sweep", *map(str, arguments)])
    if result.exception:
        raise result.exception
    return result.output


def table(shown):
    """The cells of the rows below the head."""
    rows = [
        [cell.strip() for cell in line.strip("│").split("│")] for line in shown.splitlines() if line.startswith("│")
    ]
    return {row[0]: row[1:3] + row[4:] for row in rows}


def test_a_row_for_each_value_says_what_is_kept_gained_and_lost(out):
    shown = run(out, "--set", f"{WORDS}=5,10,16,null")
    assert table(shown) == {
        "5": ["4", "100.0%", "1", "0"],
        "10": ["3", "75.0%", "0", "0"],
        "16": ["1", "25.0%", "0", "2"],
        "null": ["4", "100.0%", "1", "0"],
    }
    assert "4 documents entered step 2; those kept here are counted before deduplication. Bold: the run's own" in shown
    assert "unjudged" not in shown


def test_examples_name_the_limit_the_change_and_the_beginning_of_the_text(out):
    lines = run(out, "--set", f"{WORDS}=5", "--examples", "1").splitlines()
    at = lines.index("min_words=5: gained https://a.example/5 (gopher_quality.words 5)")
    assert lines[at + 1] == "    river town river town sea"
    assert "gained https" not in run(out, "--set", f"{WORDS}=5", "--examples", "0")


def test_json_is_one_object(out):
    found = json.loads(run(out, "--set", f"{WORDS}=16", "--json"))
    assert (found["entered"], found["settings"][0]["documents"], found["settings"][0]["lost"]) == (4, 1, 2)


def test_a_limit_that_is_none_is_named(out):
    with pytest.raises(ConfigError, match="min_word"):
        run(out, "--set", "filter.gopher_quality.min_word=5")
