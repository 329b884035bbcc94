"""Quantized models answer what the library answers, to the last bit."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.stages.support import fasttext_models, quantized_fasttext
from pipeline.stages.support.quantized_fasttext import Quantized
from pipeline.storage.assets import asset_path
from pipeline.tools import fasttext_training

MODEL = "lid.176.ftz"


@pytest.fixture(scope="module")
def model() -> Quantized:
    found = quantized_fasttext.load(asset_path(MODEL))
    assert found is not None
    return found


def library(line: str) -> tuple[str, float]:
    labels, scores = fasttext_models._load(MODEL).predict(line)
    return labels[0].removeprefix("__label__"), float(scores[0])


@pytest.mark.parametrize(
    "line",
    ["the mill at the river", "Die Mühle am Fluss", "日本語の文章", "x", "<", "> <", "</s>", "a </s> b", "123 456",
     "😀", "é" * 300, "\ufffd", "а б в", "word " * 2000 + "word", "\x01\x02", "\u00a0\u2003"],
)  # fmt: skip
def test_label_and_score_are_the_librarys(line: str, model: Quantized) -> None:
    assert model.answer(line) == library(line)


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80))
def test_any_line_gets_the_librarys_answer(text: str) -> None:
    line = " ".join(text.split())
    found = fasttext_models._quantized_model(MODEL)
    if line and "\0" not in line:
        assert found is not None
        assert found.answer(line) == library(line)


def test_every_labelled_sentence_gets_the_librarys_answer(shared_data: Path, model: Quantized) -> None:
    rows = (shared_data / "text" / "langid.jsonl").read_text("utf-8").splitlines()[::5]
    lines = [" ".join(json.loads(row)["text"].split()) for row in rows]
    assert len(lines) > 1000
    assert [model.answer(line) for line in lines] == [library(line) for line in lines]


def test_texts_with_labels_and_nuls_are_left_to_the_library(model: Quantized) -> None:
    for line in ("__label__en word", "a __label__", "a\0b"):
        assert model.answer(line) is None
        assert fasttext_models.identify(line, model=MODEL, max_chars=None)[0]


def test_other_models_and_other_files_are_left_to_the_library(tmp_path: Path) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("__label__a one two three\n__label__b four five six\n" * 20)
    fasttext_training.fit(lines, tmp_path / "model.bin", {"dim": 8, "epoch": 5, "lr": 0.05})
    whole = asset_path(MODEL).read_bytes()
    (tmp_path / "cut.ftz").write_bytes(whole[:-1])
    (tmp_path / "long.ftz").write_bytes(whole + b"x")
    (tmp_path / "text.ftz").write_text("no model")
    (tmp_path / "empty.ftz").write_bytes(b"")
    for file in tmp_path.glob("*.*"):
        assert quantized_fasttext.load(file) is None, file
    label, score = fasttext_models.identify("one two", model=str(tmp_path / "model.bin"), max_chars=None)
    assert label in ("a", "b")
    assert 0 < score <= 1
