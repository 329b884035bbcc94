"""Training: the same pages give the same bytes, what is learned is used, damaged models are refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from labelled_pages import labelled_page

from pipeline.contract.errors import InputError
from pipeline.extractor import extraction, features, labelled, model, training
from pipeline.extractor.evaluation import evaluate, word_score
from pipeline.extractor.loops_decide import LEVELS, ONE
from pipeline.extractor.shipped import SHIPPED

RECIPE = training.Recipe(trees=10, leaves=4, min_leaf=5, threads=1)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labelled") / "pages.parquet"
    pq.write_table(pa.Table.from_pylist([labelled_page(number) for number in range(40)], labelled.SCHEMA), path)
    return path


@pytest.fixture(scope="module")
def trained(pages: Path) -> model.Model:
    return training.train(training.prepare(labelled.read([pages])), RECIPE, {"from": "a test"})


def test_the_model_finds_the_main_text_of_pages_it_has_not_seen(trained: model.Model) -> None:
    for number in range(100, 110):
        page = labelled_page(number)
        assert extraction.extract(page["html"], trained).text == page["main_content"]  # type: ignore[arg-type]


def test_the_same_pages_give_the_same_bytes_with_any_number_of_threads(pages: Path, trained: model.Model) -> None:
    again = training.train(
        training.prepare(labelled.read([pages])), dataclasses.replace(RECIPE, threads=2), {"from": "a test"}
    )
    assert again.to_bytes() == trained.to_bytes()


def test_flat_trees_give_what_the_library_gives(pages: Path) -> None:
    examples = training.prepare(labelled.read([pages]))
    scores = training.token_scores(examples, RECIPE)
    tables = np.concatenate([features.describe(example.page, scores) for example in examples])
    shares = np.concatenate([example.shares for example in examples])
    booster = training._boost(tables, shares, np.ones(len(shares)), RECIPE)
    roots, nodes, leaves = training._flatten(booster.dump_model()["tree_info"])
    found = np.empty(len(tables), np.int32)
    extraction._loops()["score"](
        tables, tables.shape[1], len(tables), roots, len(roots), nodes.reshape(-1), leaves, 0, found
    )
    assert np.abs(found / ONE - booster.predict(tables, raw_score=True)).max() < 1e-3


def test_pages_whose_gold_text_is_not_in_them_are_left_out(pages: Path) -> None:
    [page] = list(labelled.read([pages]))[:1]
    assert len(training.prepare([page])) == 1
    assert training.prepare([dataclasses.replace(page, gold="Nothing of this is there. " * 20)]) == []
    assert training.prepare([dataclasses.replace(page, gold=None, wanted=(), unwanted=())]) == []
    assert training.prepare([dataclasses.replace(page, html=b"")]) == []


def test_a_model_goes_through_its_file(trained: model.Model, tmp_path: Path) -> None:
    path = tmp_path / "my.model"
    path.write_bytes(trained.to_bytes())
    assert model.load(str(path)).to_bytes() == trained.to_bytes()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"", "is no extractor model"),
        (lambda data: data[:-4], "numbers instead of"),
        (lambda data: data[: len(model.MAGIC) + 10], "no sound extractor model"),
        (lambda data: data.replace(model.features_digest().encode(), b"0" * 16), "trained on other features"),
        (lambda data: data[:-4] + b"\xff\xff\xff\x7f", "do not fit together"),
    ],
)
def test_a_damaged_model_is_refused(damage: object, message: str, trained: model.Model) -> None:
    with pytest.raises(InputError, match=message):
        model.from_bytes(damage(trained.to_bytes()), "damaged")  # type: ignore[operator]


def test_a_tree_that_goes_round_in_circles_is_refused(trained: model.Model) -> None:
    nodes = trained.nodes.copy()
    nodes[-1, 2] = 0
    with pytest.raises(ValueError, match="do not fit together"):
        dataclasses.replace(trained, nodes=nodes)


def test_the_shipped_model_is_small_and_loads() -> None:
    shipped = model.load(SHIPPED)
    assert len(shipped.to_bytes()) < 1_000_000
    assert shipped.facts["pages"] > 2000
    with pytest.raises(InputError, match="no-such-model"):
        model.load("no-such-model")


def test_the_threshold_has_the_highest_expected_f1(trained: model.Model) -> None:
    """Against every threshold there is, within the width of a level."""
    page = labelled_page(1)
    parsed = extraction.extract(page["html"], trained).page  # type: ignore[arg-type]
    free = dataclasses.replace(trained, lowest=0, highest=ONE)
    chance = np.random.default_rng(3)
    words = parsed.blocks[:, 5].astype(float)
    for _ in range(50):
        p = chance.integers(0, ONE + 1, len(words)).astype(np.int32)
        keep = extraction.choose(parsed, p, free).astype(bool)

        def expected(kept: np.ndarray, p: np.ndarray = p) -> float:
            return float(2 * (p * words)[kept].sum() / ONE / (words[kept].sum() + (p * words).sum() / ONE))

        best = max(expected(p >= limit) for limit in p)
        assert expected(keep) >= best - 2 / LEVELS


def test_measures() -> None:
    assert word_score("the old mill", "The mill, the old mill").f1 == pytest.approx(2 * 1 * 0.6 / 1.6)
    assert word_score("", "").f1 == 1.0
    assert word_score("", "a").f1 == word_score("a", "").f1 == 0.0
    page = labelled.LabelledPage(
        id="1", domain="d", page_type="forum", html=b"x", gold="a b", wanted=["a"], unwanted=["c d"]
    )
    result = evaluate([page, dataclasses.replace(page, page_type="article")], lambda html: "a  c\nd")
    assert [group.page_type for group in result.groups] == ["all", "article", "forum"]
    assert (result.groups[0].score.precision, result.groups[0].score.recall) == (pytest.approx(1 / 3), 0.5)
    assert result.phrases is not None
    assert (result.phrases.found, result.phrases.kept, result.phrases.precision) == (2, 2, 0.5)
