"""A score decides, and what could be wrong with a model is said before a run."""

import random
from pathlib import Path

import pytest

from pipeline.contract.errors import InputError
from pipeline.stages.quality_classifier import QualityClassifier
from pipeline.tools.classifier import Recipe, train

GOOD = "theorem proof river evidence because explained measured history therefore observed".split()
BAD = "buy cheap click casino winner discount offer free bonus subscribe".split()
BOTH = "the a of in and to it was for on".split()


def texts(words: list[str], number: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choice(words if draw.random() < 0.3 else BOTH) for _ in range(30)) for _ in range(number)]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "quality.bin"
    recipe = Recipe(dimensions=8, buckets=2000, epochs=20, learning_rate=0.5)
    train(texts(GOOD, 200, 1), texts(BAD, 200, 2), path, recipe)
    return path


def test_the_stage_scores_as_the_evaluation_does_and_keeps_at_its_limit(model, make_doc):
    doc = make_doc(texts(GOOD, 1, 9)[0])
    score = QualityClassifier(model=str(model)).measure(doc).signals["quality_classifier"]["score"]
    assert 0.5 < score <= 1
    assert QualityClassifier(model=str(model), min_score=score)(doc).id == doc.id
    dropped = QualityClassifier(model=str(model), min_score=min(1, score + 1e-6))(make_doc(texts(BAD, 1, 9)[0]))
    assert dropped.reason == "low_score"
    assert dropped.value < 0.5


def test_the_stage_survives_texts_of_all_kinds(model, make_doc):
    stage = QualityClassifier(model=str(model), min_score=None)
    for text in ("", " \n", "\ud800 lone", "a\0b", "x" * 100_000, "\n".join(["river"] * 1000)):
        assert 0 <= stage(make_doc(text)).signals["quality_classifier"]["score"] <= 1
    assert stage(make_doc("")).signals["quality_classifier"]["score"] == 0


def test_a_wrong_model_or_label_is_said_before_the_run(model, tmp_path):
    with pytest.raises(InputError, match=r"knows no label 'positve'\n.*\n.*did you mean 'positive'"):
        QualityClassifier(model=str(model), label="positve").prepare()
    with pytest.raises(InputError, match="neither an asset nor a file"):
        QualityClassifier(model=str(tmp_path / "missing.bin")).prepare()
    (tmp_path / "bad.bin").write_bytes(b"no model")
    with pytest.raises(InputError, match="not a fastText model"):
        QualityClassifier(model=str(tmp_path / "bad.bin")).prepare()


def test_an_impossible_limit_is_refused():
    with pytest.raises(ValueError, match=r"min_score: must be between 0 and 1, got 1\.5"):
        QualityClassifier(model="m.bin", min_score=1.5)
