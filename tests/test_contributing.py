"""CONTRIBUTING.md tells the truth: the walk of one page is the one a build takes, and the files it names are there."""

import re
import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from typer.testing import CliRunner
from warc_pages import Page, article, write_warc

from pipeline.cli.main import app

REPOSITORY = Path(__file__).resolve().parents[1]
TEXT = (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")
HOP = re.compile(r"^\| (\d+) \| `([\w/.]+\.py)` \| `([\w.]+)` \|", re.MULTILINE)
MAX_HOPS = 14


def test_one_page_takes_the_walk_that_is_told(tmp_path):
    write_warc(tmp_path / "a.warc.gz", [Page(url=f"https://a.example/{n}", html=article(n)) for n in range(4)])
    (tmp_path / "build.yaml").write_text(
        "extract: [main_text: {engine: resiliparse}]\nfilter: [gopher_quality: {min_words: 20}]\n"
        "tokenize: {train_tokenizer: {vocabulary_size: 300}}\nrun: {isolate: false}\n"
    )
    hops = [(file, function) for _, file, function in HOP.findall(TEXT)]
    assert 8 < len(hops) <= MAX_HOPS
    calls: dict[tuple[str, str], int] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and (name := named(frame.f_code)) in hops:
            calls.setdefault(name, len(calls))

    sys.setprofile(note)
    try:
        arguments = ["build", tmp_path / "build.yaml", "--input", tmp_path / "a.warc.gz", "--output", tmp_path / "out"]
        done = CliRunner().invoke(app, [*map(str, arguments), "--local", "--quiet"])
    finally:
        sys.setprofile(None)
    assert done.exit_code == 0, done.output
    assert list(calls) == hops


def named(code: CodeType) -> tuple[str, str]:
    path = Path(code.co_filename)
    return (path.relative_to(REPOSITORY).as_posix() if path.is_relative_to(REPOSITORY) else "", code.co_qualname)


def test_every_file_it_names_is_there():
    named = set(re.findall(r"`((?:pipeline|training|tests|configs|docs|infra)/[\w/.]*)`", TEXT))
    missing = {name for name in named if not (REPOSITORY / name).exists()}
    # A stage and its test stand for those that a reader would add.
    assert missing <= {"pipeline/stages/no_shouting.py", "tests/pipeline/stages/test_no_shouting.py"}
    assert len(named) > 25
