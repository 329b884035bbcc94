"""`verify` finds what is broken, by breaking each thing."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from warc_pages import Page, article, write_warc

from pipeline.config import load_config
from pipeline.flow import build
from pipeline.verify import verify


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A small finished run, and beside it its input."""
    folder = tmp_path_factory.mktemp("verify")
    pages = [Page(url=f"https://a.example/{i}", html=article(i)) for i in range(8)]
    write_warc(folder / "a.warc.gz", [*pages, Page(url="https://a.example/404", status="404 Not Found")])
    write_warc(folder / "b.warc.gz", [Page(url=f"https://b.example/{i}", html=article(50 + i)) for i in range(8)])
    (folder / "c.yaml").write_text(
        "extract: [{main_text: {engine: resiliparse}}]\n"
        "tokenize: {train_tokenizer: {vocabulary_size: 400}, tokens_per_shard: 2500}"
    )
    config = load_config(folder / "c.yaml", inputs=[f"{folder}/*.warc.gz"], output=str(folder / "out"), local=True)
    build(config, quiet=True)
    return folder


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def edit(path: Path, change) -> None:
    tree = json.loads(path.read_text())
    change(tree)
    path.write_text(json.dumps(tree))


def drop_row(path: Path) -> None:
    pq.write_table(pq.read_table(path).slice(1), path)


def test_a_whole_run_passes(made):
    assert [check.name for check in verify(made / "out") if not check.ok] == []


@pytest.mark.parametrize(
    ("damage", "promise"),
    [
        (lambda o: flip(o / "documents/part-00000.parquet"), "every file is as committed"),
        (lambda o: flip(o / "dropped/part-extract-00000.parquet"), "every file is as committed"),
        (lambda o: flip(o / "steps/extract/documents/part-00001.parquet"), "every file is as committed"),
        (lambda o: flip(o / "tokens/00000.ds"), "shards are as the manifest says"),
        (lambda o: flip(o / "tokens/00001.ds.index"), "every file is as committed"),
        (lambda o: flip(o / "tokens/tokenizer.json"), "shards are as the manifest says"),
        (lambda o: swap(o / "tokens/00000.ds", o / "tokens/00001.ds"), "every file is as committed"),
        (lambda o: (o / "documents/part-00001.parquet").unlink(), "tables say what run.json says"),
        (
            lambda o: shutil.copy(o / "documents/part-00001.parquet", o / "documents/part-00007.parquet"),
            "no file is extra",
        ),
        (lambda o: shutil.copy(o / "tokens/00001.ds", o / "tokens/00009.ds"), "no file is extra"),
        (lambda o: drop_row(o / "documents/part-00000.parquet"), "each candidate stands in one row"),
        (lambda o: edit(o / "run.json", lambda t: t["totals"].update(kept=15)), "nothing was lost"),
        (lambda o: edit(o / "run.json", lambda t: t.update(state="running")), "the run is complete"),
        (lambda o: edit(o / "tokens/manifest.json", lambda t: t.update(tokens=1)), "shards are as the manifest says"),
        (lambda o: (o / "report.html").unlink(), "the run is complete"),
        (lambda o: (o / "steps/filter/commits/00001.json").unlink(), "nothing was lost"),
    ],
)
def test_damage_is_found(made, tmp_path, damage, promise):
    out = tmp_path / "out"
    shutil.copytree(made / "out", out)
    damage(out)
    assert promise in {check.name for check in verify(out) if not check.ok}


def test_a_pointer_that_leads_elsewhere_is_found(made, tmp_path):
    folder = tmp_path / "moved"
    shutil.copytree(made, folder)
    write_warc(made / "a.warc.gz", [Page(url="https://other.example/", html=article(99))])
    try:
        [check] = [check for check in verify(made / "out") if check.name == "pointers lead to their records"]
    finally:
        shutil.copy(folder / "a.warc.gz", made / "a.warc.gz")
    assert len(check.problems) == 8
