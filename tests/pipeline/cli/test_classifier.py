"""`tokenmill classifier`: a model from the command line, and options that make none."""

import json
import random

import pytest
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.contract.errors import ConfigError, InputError
from pipeline.tools.classifier import POSITIVE

SMALL = ["--epochs", "20", "--learning-rate", "0.5", "--dimensions", "8", "--buckets", "2000"]


@pytest.fixture
def sets(tmp_path):
    """Options that name 80 texts of each kind in the column `body`."""
    draw = random.Random(5)
    for name, words in (("good", "theorem proof evidence history"), ("bad", "casino winner bonus click")):
        texts = [" ".join(draw.choices([*words.split(), "the", "of", "and", "in"], k=30)) for _ in range(80)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps({"body": text}) for text in texts))
    return ["--positive", str(tmp_path / "good.jsonl"), "--negative", str(tmp_path / "bad.jsonl"),
            "--text-column", "body"]  # fmt: skip


def run(*arguments):
    result = CliRunner().invoke(app, ["classifier", *map(str, arguments)])
    if result.exception:
        raise result.exception
    return result.output


def test_a_model_is_trained_and_measured(sets, tmp_path):
    trained = json.loads(run("train", *sets, "--output", tmp_path / "q.bin", *SMALL, "--json"))
    assert trained["evaluation"]["roc_auc"] > 0.9
    assert POSITIVE in (tmp_path / "q.bin").read_bytes().decode("latin-1")
    measured = run("eval", tmp_path / "q.bin", *sets)
    assert measured.startswith("on 80 positives and 80 negatives: ROC AUC ")
    assert measured.splitlines()[1].split() == ["min_score", "precision", "recall", "negatives", "kept"]
    assert json.loads(run("eval", tmp_path / "q.bin", *sets, "--json"))["positives"] == 80


def test_texts_left_out_are_told(sets, tmp_path):
    with (tmp_path / "good.jsonl").open("a") as sink:
        sink.write(
            "\n" + (tmp_path / "good.jsonl").read_text() + "\n" + (tmp_path / "bad.jsonl").read_text().split("\n")[0]
        )
    told = run("train", *sets, "--output", tmp_path / "q.bin", *SMALL)
    assert "80 repeated texts and 1 that stand in both sets left out" in told


@pytest.mark.parametrize(
    ("option", "message"),
    [(("--epochs", "0"), "epochs: must be"), (("--held-out", "0.91"), "held_out: must be")],
)
def test_an_impossible_option_is_the_users_mistake(sets, tmp_path, option, message):
    with pytest.raises(ConfigError, match=f"classifier train: {message}"):
        run("train", *sets, "--output", tmp_path / "q.bin", *option)
    assert not (tmp_path / "q.bin").exists()


def test_texts_that_are_not_there_are_named(sets, tmp_path):
    with pytest.raises(InputError, match=r"none\.jsonl"):
        run("train", "--positive", tmp_path / "none.jsonl", "--negative", sets[3], "--output", tmp_path / "q.bin")
