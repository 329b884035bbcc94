"""Quarantined pages tried again: what they do now, alone, and nothing in the run folder changes."""

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner
from warc_pages import Page, article, warc_member

from pipeline.cli.main import app
from pipeline.config import load_config
from pipeline.contract.errors import InputError
from pipeline.flow import build
from pipeline.tools.replay import LimitOverrides, quarantined, replay

CONFIG = """
extract: [{poison.Poison: {}}, {main_text: {engine: resiliparse}}]
filter: [gopher_quality]
tokenize: {train_tokenizer: {vocabulary_size: 300}}
run: {page_limits: {cpu_seconds: 1, wall_seconds: 1.5, memory: 500_000_000}}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A run that gave up four pages and a damaged record."""
    folder = tmp_path_factory.mktemp("replay")
    pages = [Page(url="https://a.example/good", html=article(1))]
    for number, kind in enumerate(("spin", "segfault", "raise", "repaired")):
        html = article(90 + number) + f"<!-- poison:{kind if kind != 'repaired' else f'unless {folder}/repaired'} -->"
        pages.append(Page(url=f"https://a.example/{kind}", html=html))
    damaged = bytearray(warc_member(Page(url="https://a.example/damaged", html=article(7))))
    damaged[-6] ^= 1  # its checksum
    (folder / "a.warc.gz").write_bytes(b"".join(map(warc_member, pages)) + damaged + gzip.compress(b""))
    (folder / "c.yaml").write_text(CONFIG)
    config = load_config(folder / "c.yaml", inputs=[f"{folder}/a.warc.gz"], output=str(folder / "out"), local=True)
    record = build(config, quiet=True)
    assert (record.totals.kept, record.totals.quarantined) == (1, 5)
    return folder


def state(out: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(out.rglob("*"))}


def name(url: str) -> str:
    return url.rpartition("/")[2]


def test_every_page_is_tried_and_the_run_is_left_as_it_was(made):
    before = state(made / "out")
    found = {name(page.before.url): page.now for page in replay(made / "out", limits=LimitOverrides(seconds=2))}
    assert state(made / "out") == before
    assert {key: (now.outcome, now.cause, now.stage) for key, now in found.items()} == {
        "spin": ("quarantined", "timeout", ""),
        "segfault": ("quarantined", "crash: SIGSEGV", ""),
        "raise": ("quarantined", "error: ZeroDivisionError: a page said no", "poison.Poison"),
        "repaired": ("quarantined", "error: FileNotFoundError: not repaired yet", "poison.Poison"),
        "damaged": ("quarantined", "corrupt_member: Error -3 while decompressing data: incorrect data check", "read"),
    }
    assert "a page said no" in found["raise"].trace and "poison.py" in found["raise"].trace
    assert found["spin"].seconds >= 2  # one second in the run and found["spin"].peak_memory is None
    assert found["raise"].peak_memory is not None and found["raise"].peak_memory < 1 << 28


def test_a_page_that_works_now_shows_its_text(made):
    [row] = [row for row in quarantined(made / "out") if name(row.url) == "repaired"]
    (made / "repaired").touch()
    try:
        [page] = replay(made / "out", ids=[row.id])
    finally:
        (made / "repaired").unlink()
    assert page.now.outcome == "passed"
    assert page.now.characters is not None and page.now.characters > 500 and len(page.now.excerpt) == 500
    assert page.before.cause == "error: FileNotFoundError: not repaired yet"


def test_the_choice_of_pages(made):
    assert [name(page.before.url) for page in replay(made / "out", step="read", limit=1)] == ["damaged"]
    with pytest.raises(InputError, match="no page was given up in 'filter'"):
        list(replay(made / "out", step="filter"))
    with pytest.raises(InputError, match="'none' is not in the quarantine"):
        list(replay(made / "out", ids=["none"]))
    with pytest.raises(InputError, match="cpu_seconds: must be above 0, got -1"):
        list(replay(made / "out", limits=LimitOverrides(seconds=-1)))


def test_the_command(made):
    [row] = [row for row in quarantined(made / "out") if name(row.url) == "raise"]
    shown = CliRunner().invoke(app, ["replay", str(made / "out"), "--id", row.id])
    assert shown.exit_code == 0, shown.output
    assert "then: extract.poison.Poison: error: ZeroDivisionError: a page said no" in shown.output
    assert "now:  quarantined by poison.Poison: error: ZeroDivisionError: a page said no" in shown.output
    assert shown.output.splitlines()[-1] == "1 pages tried again, 0 passed"
    line = CliRunner().invoke(app, ["replay", str(made / "out"), "--stage", "read", "--json"]).output
    assert json.loads(line)["before"]["stage"] == "read"
