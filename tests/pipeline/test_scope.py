"""The report says who was compared with whom: `scope: dump` without any dump's name compares all documents."""

import json
from pathlib import Path

import pytest

from pipeline.config import load_config
from pipeline.contract.run import RunRecord
from pipeline.flow import build

TEXTS = ("The miller grinds seven sacks of wheat before noon, and twelve more after it.",
         "A sailor painted the old harbour in the morning while nobody was looking on.")  # fmt: skip


def built(folder: Path, dumps: list[str], *overrides: str) -> Path:
    """A run of two texts, each of them once in each dump and twice in the first."""
    rows = [{"text": text, "dump": dump} for text in TEXTS for dump in (*dumps, *dumps[:1])]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "c.yaml").write_text("tokenize: {train_tokenizer: {vocabulary_size: 257}}\n")
    config = load_config(folder / "c.yaml", inputs=[f"{folder}/in.jsonl"], output=str(folder / "out"), local=True,
                         overrides=overrides)  # fmt: skip
    build(config, quiet=True)
    return folder / "out"


@pytest.mark.parametrize(
    ("dumps", "overrides", "kept", "line"),
    [
        ([""], (), 2, "Compared within one dump (dedup.scope: dump). No document has the name of one (from its path, "
         "input.dump or a column), and so all were compared with each other, as with scope: global."),
        (["", "A"], (), 4, "Compared within one dump (dedup.scope: dump): 1 dump; the documents without the name of "
         "one (2 kept) were compared with each other."),
        (["A", "B"], (), 4, "Compared within one dump (dedup.scope: dump): 2 dumps."),
        (["", "A"], ("dedup.scope=global",), 2, "All documents were compared with each other (dedup.scope: global)."),
        ([""], ("dedup.scope=language",), 2, "Compared within one language (dedup.scope: language)."),
    ],
)  # fmt: skip
def test_the_report_says_who_was_compared(tmp_path, dumps, overrides, kept, line):
    out = built(tmp_path, dumps, *overrides)
    assert RunRecord.read(out).totals.kept == kept
    assert line in " ".join((out / "report.html").read_text().split())


def test_a_run_without_dedup_says_nothing_of_it(tmp_path):
    assert "ompared" not in (built(tmp_path, [""], "dedup=null") / "report.html").read_text()
