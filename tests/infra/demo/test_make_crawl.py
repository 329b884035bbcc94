"""The demo's input is made by one command, over HTTP, and is the same each time."""

import gzip
import io
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import make_crawl
import pytest
import sft_examples
from fastwarc.warc import ArchiveIterator


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    run(folder)
    return folder


def run(folder: Path) -> str:
    command = [sys.executable, make_crawl.__file__, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_crawl_is_whole(out):
    found = Counter()
    for path in sorted((out / "crawl").glob("demo-*.warc.gz")):
        records = list(ArchiveIterator(io.BytesIO(path.read_bytes()), parse_http=False))
        kinds = [record.headers["WARC-Type"] for record in records]
        assert kinds == ["warcinfo"] + ["request", "response", "metadata"] * (len(kinds) // 3)
        found.update(
            record.headers["WARC-Target-URI"].split("/")[2]
            for record in records
            if record.headers["WARC-Type"] == "response"
        )
    assert set(found) == {"docs.stdlib.example", "village.example", "casino.blocked.example"}
    assert found["docs.stdlib.example"] > 400
    assert found["village.example"] > 50
    assert found["casino.blocked.example"] == 2
    assert 4 <= len(list((out / "crawl").glob("demo-*.warc.gz"))) <= 6
    summary = json.loads((out / "crawl/crawl.json").read_text())["summary"]
    assert summary["failed"] == {}
    assert summary["refused"] == {"robots_disallowed": 1}
    assert summary["ignored"] == {"other_host": 1}
    assert {"200", "301", "404"} == set(summary["statuses"])


def test_the_damaged_file_ends_inside_a_member(out):
    with pytest.raises(EOFError), gzip.open(out / "crawl/damaged.warc.gz") as stream:
        stream.read()
    data = (out / "crawl/damaged.warc.gz").read_bytes()
    assert (out / "archive/archive-00000.warc.gz").read_bytes().startswith(data)


def test_a_second_run_leaves_what_is_complete(out):
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert run(out).endswith(": complete, left as it is\n")
    assert times == {path: path.stat().st_mtime_ns for path in out.rglob("*")}


def test_conversations(out):
    lines = [json.loads(line) for line in (out / "conversations.jsonl").read_text().splitlines()]
    # In a process of its own: what tests have imported may have changed the modules that the conversations are about.
    code = "import json, sft_examples; print(json.dumps(sft_examples.conversations()))"
    place = Path(make_crawl.__file__).parent
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=place)
    assert lines == json.loads(made.stdout)
    assert len(lines) == len({line["id"] for line in lines}) == 600
    roles = {tuple(message["role"] for message in line["messages"]) for line in lines}
    assert roles == {
        (*system, *turns)
        for system in ((), ("system",))
        for turns in (("user", "assistant"), ("user", "assistant", "user", "assistant"))
    }
    assert all(message["content"].strip() for line in lines for message in line["messages"])


def test_the_chosen_letter_is_the_right_module():
    fact = sft_examples.Fact("textwrap", "dedent", "function", "dedent(text)", "Remove it.")
    question, answer = sft_examples.choose(fact, ["abc", "json", "re", "textwrap", "zlib"])
    letter, module = answer.split(". ")
    assert module == "textwrap"
    assert f"\n{letter}. textwrap" in question
    assert len(question.splitlines()) == 5


@pytest.mark.parametrize(
    ("docstring", "sentence"),
    [
        ("Return the cosine of x (measured in radians).", "Return the cosine of x (measured in radians)."),
        ("Wrapped over two\nlines, e.g. like this one.  And more.", "Wrapped over two lines, e.g. like this one."),
        ("dedent(text) -> str", None),
        ("Too short.", None),
        ("No full stop at the end of this sentence", None),
        ("", None),
    ],
)
def test_first_sentences(docstring, sentence):
    assert sft_examples.first_sentence(docstring) == sentence
