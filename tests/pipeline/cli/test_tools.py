"""The commands beside the builds: tokenizers, exports, crawls."""

import json

import pytest
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.contract.errors import ConfigError, InputError, UserError


def run(*arguments, stdin=None):
    result = CliRunner().invoke(app, list(map(str, arguments)), input=stdin)
    if result.exception:
        raise result.exception
    return result.output


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A tokenizer of bytes and a few words, trained by the command."""
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / "texts.jsonl").write_text('{"text": "the mill and the miller"}\n' * 20)
    path = folder / "mill.json"
    told = run("tokenizer", "train", "--input", folder / "texts.jsonl", "--output", path, "--vocabulary-size", 265)
    assert told == f"{path}\n"
    return path


def test_show_says_what_a_tokenizer_holds(tokenizer):
    shown = json.loads(run("tokenizer", "show", tokenizer))
    assert {name: shown[name] for name in ("name", "vocabulary_size", "end_of_text_id", "end_of_text")} == {
        "name": "mill", "vocabulary_size": 265, "end_of_text_id": 0, "end_of_text": "<|endoftext|>"}  # fmt: skip


def test_encode_gives_an_id_and_its_text_a_line(tokenizer):
    lines = [line.split("\t") for line in run("tokenizer", "encode", tokenizer, "the mill x").splitlines()]
    assert "".join(piece[1:-1] for _, piece in lines) == "the mill x"
    assert all(0 < int(number) < 265 for number, _ in lines)
    assert len(lines) < len("the mill x")
    assert run("tokenizer", "encode", tokenizer, "-", stdin="the mill x") == run(
        "tokenizer", "encode", tokenizer, "the mill x"
    )


def test_a_tokenizer_needs_texts(tmp_path):
    (tmp_path / "empty.jsonl").write_text('{"text": ""}\n')
    with pytest.raises(InputError, match="no text to train a tokenizer on"):
        run("tokenizer", "train", "--input", tmp_path / "empty.jsonl", "--output", tmp_path / "t.json")
    assert not (tmp_path / "t.json").exists()


def test_shards_are_exported_from_a_run_that_has_some(tmp_path):
    with pytest.raises(InputError, match="holds no token shards"):
        run("export-shards", tmp_path, tmp_path / "new", "--to", "llmc")
    with pytest.raises(UserError, match="unknown format 'hf'"):
        run("export-shards", tmp_path, tmp_path / "new", "--to", "hf")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--seed", "ftp://a.example/"), "--seed: is no http or https URL"),
        (("--seed", "a.example"), "write it as http://a.example"),
        (("--seed", "http://a.example/", "--limit", "0"), "limit: must be at least 1, got 0"),
        (("--seed", "http://a.example/", "--date", "today"), "date: must look like 2026-01-31T00:00:00Z"),
    ],
)
def test_a_crawl_that_cannot_be_is_refused_and_makes_no_folder(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        run("crawl", *options, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_crawl_says_what_came_of_it(tmp_path):
    told = run("crawl", "--seed", "http://127.0.0.1:1/", "--output", tmp_path / "out", "--delay", 0, "--timeout", 5)
    assert told == "0 of 0 requests stored in 0 WARC files, 0 bytes\n  refused robots_unreachable: 1\n"


def test_an_asset_that_nobody_knows_is_named():
    with pytest.raises(UserError, match="cake"):
        run("assets", "fetch", "cake")
