"""The child that trains one fastText model: the same lines, the same bytes; what fastText says when it cannot."""

import pytest

from pipeline.contract.errors import TokenmillError
from pipeline.tools.fasttext_training import fit

OPTIONS = {"dim": 4, "epoch": 3, "bucket": 1000, "wordNgrams": 1}


def test_two_trainings_give_the_same_model(tmp_path):
    lines = tmp_path / "lines.txt"
    lines.write_text("".join(f"__label__{name} {name} word{n} text\n" for n in range(20) for name in ("good", "bad")))
    for name in ("one.bin", "two.bin"):
        fit(lines, tmp_path / name, OPTIONS)
    assert (tmp_path / "one.bin").read_bytes() == (tmp_path / "two.bin").read_bytes()


def test_what_fasttext_cannot_do_is_said_in_its_words(tmp_path):
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(TokenmillError, match="fastText could not train: "):
        fit(tmp_path / "empty.txt", tmp_path / "model.bin", OPTIONS)
    assert not (tmp_path / "model.bin").exists()
