"""The classifier learns what it is shown, measures itself on what it has not seen, and is the same model each time."""

import hashlib
import random
from pathlib import Path

import numpy as np
import pytest

from pipeline.contract.errors import InputError
from pipeline.tools.classifier import Recipe, evaluate, roc_auc, train

SMALL = {"dimensions": 8, "buckets": 2000, "epochs": 20, "learning_rate": 0.5}
GOOD = "theorem proof river evidence because explained measured history therefore observed".split()
BAD = "buy cheap click casino winner discount offer free bonus subscribe".split()
BOTH = "the a of in and to it was for on".split()


def texts(words: list[str], number: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choice(words if draw.random() < 0.3 else BOTH) for _ in range(30)) for _ in range(number)]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "quality.bin"
    train(texts(GOOD, 200, 1), texts(BAD, 200, 2), path, Recipe(**SMALL))
    return path


def test_it_tells_unseen_texts_apart(model):
    found = evaluate(str(model), texts(GOOD, 50, 3), texts(BAD, 40, 4))
    assert (found.positives, found.negatives) == (50, 40)
    assert found.roc_auc > 0.99
    assert found.at_half.recall > 0.95
    assert found.at_half.precision > 0.95


def test_the_same_texts_give_the_same_model_in_any_order(model, tmp_path):
    again = tmp_path / "again.bin"
    train(texts(GOOD, 200, 1)[::-1], texts(BAD, 200, 2)[::-1], again, Recipe(**SMALL))
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(model.read_bytes()).digest()


def test_another_seed_gives_another_model(model, tmp_path):
    other = tmp_path / "other.bin"
    train(texts(GOOD, 200, 1), texts(BAD, 200, 2), other, Recipe(**SMALL, seed=1))
    assert other.read_bytes() != model.read_bytes()


def test_about_the_share_asked_for_is_held_out_and_nothing_is_lost(tmp_path):
    good, bad = texts(GOOD, 300, 1), texts(BAD, 300, 2)
    done = train(good, bad, tmp_path / "m.bin", Recipe(**SMALL, held_out=0.25))
    assert done.positives + done.evaluation.positives == 300
    assert done.negatives + done.evaluation.negatives == 300
    assert 50 <= done.evaluation.positives <= 100


def test_copies_and_texts_of_both_sets_are_left_out(tmp_path):
    good, bad = texts(GOOD, 60, 1), texts(BAD, 60, 2)
    spaced = good[0].replace(" ", "\n ")  # the same words on other lines
    done = train([*good, spaced, good[1], bad[0]], [*bad, bad[3]], tmp_path / "m.bin", Recipe(**SMALL, held_out=0))
    assert (done.positives, done.negatives, done.repeated, done.in_both) == (60, 59, 3, 1)
    assert done.evaluation is None


def test_a_text_cannot_label_itself(tmp_path):
    good = [f"__label__negative {text}" for text in texts(GOOD, 100, 1)]
    train(good, texts(BAD, 100, 2), tmp_path / "m.bin", Recipe(**SMALL))
    assert evaluate(str(tmp_path / "m.bin"), texts(GOOD, 20, 3), texts(BAD, 20, 4)).roc_auc > 0.95


@pytest.mark.parametrize(
    ("good", "bad", "area"),
    [([3, 4], [1, 2], 1.0), ([1, 2], [3, 4], 0.0), ([1, 1], [1, 1], 0.5), ([1, 3], [2, 2], 0.5), ([2], [1, 2], 0.75)],
)
def test_roc_auc_is_the_chance_of_the_right_order(good, bad, area):
    assert roc_auc(np.array(good, float), np.array(bad, float)) == area


def test_limits_are_those_that_keep_a_share_of_the_negatives(model):
    found = evaluate(str(model), texts(GOOD, 100, 3), texts(BAD, 200, 4))
    rates = [point.false_positive_rate for point in found.points]
    assert rates == sorted(rates)
    assert rates[2] == pytest.approx(0.1, abs=0.01)
    assert found.points[0].min_score >= found.points[-1].min_score


def test_sets_without_texts_are_refused(tmp_path):
    with pytest.raises(InputError, match="--negative: holds no text"):
        train(["a text"], [" "], tmp_path / "m.bin", Recipe(**SMALL))
    with pytest.raises(InputError, match="too few to hold any out"):
        train(["a text"], ["another"], tmp_path / "m.bin", Recipe(**SMALL, held_out=0.001))
    assert not (tmp_path / "m.bin").exists()


@pytest.mark.parametrize(("field", "value"), [("held_out", 0.91), ("epochs", 0), ("learning_rate", 0), ("buckets", 0)])
def test_an_impossible_recipe_is_refused(field, value):
    with pytest.raises(ValueError, match=f"{field}: must be"):
        Recipe(**{field: value})
