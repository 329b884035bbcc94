"""`verify` finds what is broken, by breaking each thing."""

import json
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner
from warc_pages import Page, article, write_warc

from pipeline.cli.main import app
from pipeline.config import load_config
from pipeline.contract.errors import InputError
from pipeline.flow import build
from pipeline.tools.verify import verify


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


SEALED = "run.json and what it seals are as written"
COMMITTED = "every file is as committed"


def kinds(out: Path) -> dict[str, Path]:
    """One file of every kind of which a promise speaks."""
    found: dict[str, Path] = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.is_file() and not name.startswith((".lock", "logs/")) and not name.endswith("tasks.json"):
            found.setdefault(re.sub(r"[0-9]{2,}", "N", name), path)
    return found


def test_a_flipped_bit_in_a_file_of_any_kind_is_found(made, tmp_path):
    """Wherever in the file it is: at its beginning, in its middle, near its end."""
    out = tmp_path / "out"
    shutil.copytree(made / "out", out)
    missed = []
    for kind, path in kinds(out).items():
        whole = path.read_bytes()
        for at in {0, len(whole) // 3, len(whole) // 2, max(len(whole) - 3, 0)} if whole else ():
            data = bytearray(whole)
            data[at] ^= 4
            path.write_bytes(data)
            try:
                found = any(not check.ok for check in verify(out, sample=1))
            except InputError:
                found = True
            missed += [] if found else [f"{kind} at {at}"]
        path.write_bytes(whole)
    assert missed == []
    assert {"run.json", "report.html", "tokens/manifest.json", "tokens/tokenizer.json", "tokens/N.ds",
            "tokens/N.ds.index", "tokens/N.docs.parquet", "documents/part-N.parquet",
            "steps/extract/commits/N.json"} <= set(kinds(out))  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "documents/part-00000.parquet", "dropped/part-extract-00000.parquet", "tokens/00000.ds",
        "tokens/00001.ds.index", "tokens/00000.docs.parquet", "tokens/manifest.json", "tokens/tokenizer.json",
        "report.html", "steps/extract/documents/part-00001.parquet", "steps/extract/commits/00000.json",
    ],
)  # fmt: skip
def test_a_missing_file_is_found(made, tmp_path, name):
    out = tmp_path / "out"
    shutil.copytree(made / "out", out)
    (out / name).unlink()
    assert any(not check.ok for check in verify(out))


def swap_all(out: Path) -> None:
    """Two shards, index and documents and all, and the manifest's entries with them: only their contents tell."""
    for suffix in (".ds", ".ds.index", ".docs.parquet"):
        swap(out / f"tokens/00000{suffix}", out / f"tokens/00001{suffix}")

    def change(tree) -> None:
        first, second, *_ = tree["shards"]
        keys = [key for key in first if key != "file"]
        for key in keys:
            first[key], second[key] = second[key], first[key]

    edit(out / "tokens/manifest.json", change)


@pytest.mark.parametrize(
    ("damage", "promise"),
    [
        (swap_all, COMMITTED),
        (lambda o: edit(o / "run.json", lambda t: t.update(seed=5)), SEALED),
        (lambda o: edit(o / "run.json", lambda t: t["inputs"][0].update(bytes=1)), SEALED),
        (lambda o: edit(o / "tokens/manifest.json", lambda t: t.update(seed=5)), SEALED),
        (lambda o: (o / "report.html").write_text("<html></html>"), SEALED),
        (lambda o: edit(o / "tokens/manifest.json", lambda t: t["shards"].pop()), "shards hold the documents"),
        (lambda o: edit(o / "steps/extract/commits/00000.json", lambda t: t["counts"].update(read=8)),
         "nothing was lost"),
        (lambda o: (o / "quarantine/part-extract-00009.parquet").write_bytes(b"x"), "no file is extra"),
        (lambda o: move_row(o), "pointers lead to their records"),
    ],
)  # fmt: skip
def test_more_damage_is_found(made, tmp_path, damage, promise):
    out = tmp_path / "out"
    shutil.copytree(made / "out", out)
    damage(out)
    assert promise in {check.name for check in verify(out) if not check.ok}


def move_row(out: Path) -> None:
    """A document whose pointer leads to its neighbour, every checksum made to fit."""
    path = out / "documents/part-00000.parquet"
    table = pq.read_table(path)
    offsets = table["warc_offset"].to_pylist()
    offsets[0], offsets[1] = offsets[1], offsets[0]
    place = table.schema.get_field_index("warc_offset")
    pq.write_table(table.set_column(place, "warc_offset", [offsets]), path)


def test_a_report_written_again_is_sealed_again(made, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(made / "out", out)
    (out / "report.html").unlink()
    assert CliRunner().invoke(app, ["report", str(out)]).exit_code == 0
    assert [check.name for check in verify(out) if not check.ok] == []
