"""Run folders with damaged files: every command that reads one ends with 0, or with 1 or 2 and a line that says why."""

import functools
import json
import shutil
import tempfile
from pathlib import Path

import seeds
from case import Case, Target, promise, refused
from mutate import as_json, mangle, mangle_tree
from typer.testing import CliRunner
from warc_pages import Page, article, write_warc

from pipeline.cli.main import app
from pipeline.config import load_config
from pipeline.contract.errors import TokenmillError
from pipeline.contract.run import RunRecord

_CONFIG = """
extract: [{main_text: {engine: resiliparse}}]
filter: [gopher_quality]
tokenize: {train_tokenizer: {vocabulary_size: 300}, tokens_per_shard: 1500}
"""
_COMMANDS = (
    ("verify", "OUT"), ("verify", "OUT", "--json"), ("status", "OUT"), ("status", "OUT", "--json"), ("stats", "OUT"),
    ("stats", "OUT", "--json"), ("report", "OUT"), ("trace", "OUT", "--domain", "a.example"), ("replay", "OUT"),
    ("trace", "OUT", "--url", "https://a.example/1"), ("trace", "OUT", "--shard", "0", "--position", "70"),
    ("remove", "OUT", "--output", "OUT2", "--domain", "a.example"), ("publish", "OUT", "OUT3"), ("clusters", "OUT"),
    ("clusters", "OUT", "--json"), ("sweep", "OUT", "filter.gopher_quality.min_words=10,20"),
)  # fmt: skip


@functools.cache
def _made() -> dict[str, bytes]:
    """The files of a small finished run."""
    from pipeline.flow import build

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pages = [Page(url=f"https://a.example/{i}", html=article(i, 6)) for i in (0, 1, 2, 2)]
        write_warc(
            folder / "a.warc.gz", [*pages, Page(url="https://b.example/", html=seeds.htmls()[3], status="404 No")]
        )
        (folder / "c.yaml").write_text(_CONFIG)
        build(
            load_config(folder / "c.yaml", inputs=[str(folder / "a.warc.gz")], output=str(folder / "out"), local=True),
            quiet=True,
        )
        found = {
            path.relative_to(folder / "out").as_posix(): path.read_bytes()
            for path in (folder / "out").rglob("*")
            if path.is_file()
        }
        return {name: data for name, data in sorted(found.items()) if not name.startswith(("logs/", ".lock"))}


def _command(case: Case) -> str:
    draw, files = case.draw, dict(_made())
    names = sorted(files)
    for _ in range(draw.choice((1, 1, 2))):
        name = "run.json" if draw.random() < 0.25 else draw.choice(names)
        files[name] = _damaged(case, name, files[name])
        if draw.random() < 0.05:
            files[name] = b""
    out = case.folder / "out"
    for name, data in files.items():
        case.file(f"out/{name}", data)
    if draw.random() < 0.5:
        _seal(out)
    words = [word.replace("OUT", str(out)) for word in draw.choice(_COMMANDS)]
    result = CliRunner().invoke(app, words)
    for extra in ("out2", "out3"):
        shutil.rmtree(case.folder / extra, ignore_errors=True)
    said = "done"
    if isinstance(result.exception, TokenmillError):
        said = refused(result.exception)
    elif result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    else:
        promise(result.exit_code in (0, 1, 2), f"exit code {result.exit_code}")
        promise(result.exit_code == 0 or result.output.strip(), "fails without a word")
    return f"{words[0]} {said}"


def _damaged(case: Case, name: str, data: bytes) -> bytes:
    if name.endswith(".json") and data == _made()[name] and case.draw.random() < 0.7:
        return as_json(case.draw, mangle_tree(case.draw, json.loads(data)))
    if name.endswith(".parquet") and case.draw.random() < 0.5:  # its table of contents
        at = max(0, len(data) - 900)
        return data[:at] + mangle(case.draw, data[at:])
    return mangle(case.draw, data, list(_made().values()))


def _seal(out: Path) -> None:
    """Let run.json's checksum hold again: what comes after it must stand by itself."""
    try:
        record = RunRecord.read(out)
        record.write(out)
    except (TokenmillError, ValueError, TypeError):
        return


TARGETS = (Target("commands", _command, _made),)
