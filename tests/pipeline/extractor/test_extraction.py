"""The text of chosen blocks, and the shipped model on pages that nobody labelled."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.extractor import extraction, features, model
from pipeline.extractor.evaluation import word_score
from pipeline.extractor.parsed_page import parse
from pipeline.extractor.shipped import SHIPPED


def whole_text(page: str) -> str:
    parsed = parse(page.encode())
    return extraction.write_text(parsed, np.ones(len(parsed.blocks), np.uint8))


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<h1>A</h1><p>b &amp; c &lt;d&gt;", "A\nb & c <d>"),
        ("<ul><li>one<li><p>two</p><p>more</p></ul>", "- one\n- two\nmore"),
        ("<table><tr><th>a<th>b<tr><td>1<td><p>2</p><p>3</p></table>", "a | b\n1 | 2\n3"),
        ("<pre>def f():\n    return 1</pre><p>end", "def f():\n    return 1\nend"),
        ("<table><tr><td><ul><li>x<li>y</ul><td>z</table>", "- x\n- y | z"),
    ],
)
def test_text(page: str, expected: str) -> None:
    assert whole_text(page) == expected


def test_what_is_not_chosen_is_not_written() -> None:
    parsed = parse(b"<p>one<p>two<ul><li>a<li>b")
    assert extraction.write_text(parsed, np.array([0, 1, 0, 1], np.uint8)) == "two\n- b"
    assert extraction.write_text(parsed, np.zeros(4, np.uint8)) == ""


def test_every_feature_has_a_name_and_a_page_without_text_none() -> None:
    zeros = np.zeros(features.TOKENS, np.int32)
    found = features.describe(parse(b"<div><p>a b<p>c"), zeros)
    assert found.shape == (2, len(features.NAMES))
    assert len(set(features.NAMES)) == len(features.NAMES)
    column = {name: number for number, name in enumerate(features.NAMES)}
    assert found[:, column["words"]].tolist() == [2, 1]
    assert found[:, column["in_p"]].tolist() == [1, 1]
    assert found[:, column["page_words"]].tolist() == [3, 3]
    assert found[1, column["window1_before"]] == 2
    assert features.describe(parse(b""), zeros).shape == (0, len(features.NAMES))


@pytest.mark.parametrize("page", [b"", b"<", b"\x00\xff<p>\xe4", b"<p>" * 10_000, b"&" * 1000, b"<table><td>" * 3000])
def test_odd_pages_have_some_text_or_none(page: bytes) -> None:
    assert isinstance(extraction.extract(page, model.load(SHIPPED)).text, str)


def test_the_shipped_model_on_a_slice_of_its_training_pages(shared_data: Path) -> None:
    """No measure of quality: that the model that is shipped is the one of this code, whole and in working order."""
    rows = pq.read_table(shared_data / "wcxb" / "slice.parquet", columns=["html", "main_content"]).to_pylist()
    scores = [
        word_score(extraction.extract(row["html"], model.load(SHIPPED)).text, row["main_content"]).f1
        for row in rows[::4]
    ]
    assert np.mean(scores) > 0.8
