"""The commands `extractor train` and `extractor eval`."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from labelled_pages import labelled_page
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.extractor import labelled, model
from pipeline.extractor.shipped import SHIPPED


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labelled") / "pages.parquet"
    pq.write_table(pa.Table.from_pylist([labelled_page(number) for number in range(40)], labelled.SCHEMA), path)
    return path


def test_the_commands(pages: Path, tmp_path: Path) -> None:
    out = tmp_path / "my.model"
    run = CliRunner().invoke(
        app, ["extractor", "train", str(pages), "--output", str(out), "--trees", "5", "--leaves", "4"]
    )
    assert run.exit_code == 0, run.output
    assert model.load(str(out)).facts["pages"] == 40
    run = CliRunner().invoke(app, ["extractor", "eval", str(out), str(pages), "--json"])
    assert run.exit_code == 0 and '"page_type": "article"' in run.output
    run = CliRunner().invoke(app, ["extractor", "eval", SHIPPED, str(pages)])
    assert run.exit_code == 0 and "phrases: " in run.output and "forum" in run.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "missing.parquet", "--output", "x"], "missing.parquet"),
        (["train", "{pages}", "--output", "x", "--leaves", "1"], "leaves: must be at least 2"),
        (["eval", "no-such-model", "{pages}"], "no-such-model"),
        (["eval", "blocks-1", "{other}"], "html and one of main_content"),
    ],
)
def test_mistakes_are_named(arguments: list[str], message: str, pages: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"text": ["a"]}), other)
    filled = [argument.format(pages=pages, other=other) for argument in arguments]
    run = CliRunner().invoke(app, ["extractor", *filled])
    assert message in f"{run.output}{run.exception}"
