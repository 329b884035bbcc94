"""A page is found by address, domain or token, and taken out so that nothing of it is left in the shards."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner
from warc_pages import Page, article, write_warc

from pipeline.cli.main import app
from pipeline.config import load_config
from pipeline.contract.errors import ConfigError, InputError, IntegrityError
from pipeline.contract.run import RunRecord
from pipeline.contract.shards import open_shards
from pipeline.flow import build
from pipeline.tools.remove import Takedown, read_urls, remove
from pipeline.tools.trace import in_domain, trace_domain, trace_position, trace_url
from pipeline.tools.verify import verify


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """A run over pages of two sites, in several shards."""
    folder = tmp_path_factory.mktemp("trace")
    pages = [
        Page(url=f"https://{site}/{i}", html=article(i)) for i, site in enumerate(["a.example", "www.b.example"] * 6)
    ]
    pages.append(Page(url="https://a.example/gone", status="404 Not Found", html="gone"))
    write_warc(folder / "a.warc.gz", pages)
    (folder / "c.yaml").write_text(
        "extract: [{main_text: {engine: resiliparse}}]\n"
        "tokenize: {train_tokenizer: {vocabulary_size: 400}, tokens_per_shard: 2000}"
    )
    config = load_config(folder / "c.yaml", inputs=[f"{folder}/a.warc.gz"], output=str(folder / "out"), local=True)
    build(config, quiet=True)
    return folder / "out"


def test_a_url_leads_to_its_tokens(out):
    [found] = trace_url(out, "https://a.example/0")
    assert found.outcome == "kept"
    [span] = found.spans
    shard = next(shard for shard in open_shards(out).shards if shard.path.name == span.shard)
    assert found.details["token_count"] == span.length
    number = shard.document_at(span.start)
    assert len(shard.document(number)) == span.length


def test_a_token_leads_to_its_page(out):
    [span] = trace_url(out, "https://www.b.example/3")[0].spans
    for position in (span.start, span.start + span.length - 1):
        assert trace_position(out, span.shard, position).url == "https://www.b.example/3"
    assert trace_position(out, "0", 0).spans[0].start == 0


def test_a_dropped_page_says_why(out):
    [found] = trace_url(out, "https://a.example/gone")
    assert (found.outcome, found.details["reason"], found.details["value"], found.spans) == (
        "dropped",
        "http_status",
        404,
        (),
    )


def test_a_domain_covers_its_subdomains(out):
    assert len(trace_domain(out, "b.example")) == 6
    assert len(trace_domain(out, "A.example.")) == 7
    assert trace_domain(out, "example.b") == []


@pytest.mark.parametrize(
    ("url", "inside"),
    [("https://b.example/x", True), ("https://www.b.example/x", True), ("https://notb.example/", False),
     ("https://b.example.evil/", False), ("https://[::1", False), ("", False)],
)  # fmt: skip
def test_domain_borders(url, inside):
    assert in_domain(url, "b.example") is inside


def test_places_that_are_not_there(out, tmp_path):
    with pytest.raises(InputError, match="has no such shard"):
        trace_position(out, "77", 0)
    with pytest.raises(InputError, match="no position 99999999"):
        trace_position(out, "0", 99999999)
    with pytest.raises(InputError, match="is not a run folder"):
        trace_url(tmp_path, "x")


def test_a_domain_is_taken_out_and_it_can_be_proved(out, tmp_path):
    target = tmp_path / "without"
    done = remove(out, target, Takedown(domains=frozenset({"b.example"})))
    assert done.documents == 6
    assert {found.outcome for found in trace_domain(target, "b.example")} == {"dropped"}
    assert not [span for found in trace_domain(target, "b.example") for span in found.spans]
    assert {check.name: check.problems for check in verify(target) if not check.ok} == {}
    before, after = RunRecord.read(out).totals, RunRecord.read(target).totals
    assert after.dropped["tokenize.takedown.domain"] == 6
    assert (after.kept, after.tokens) == (before.kept - 6, before.tokens - done.tokens)
    kept = {name for shard in open_shards(target).shards for name in shard.docs()["url"].to_pylist()}
    assert kept == {f"https://a.example/{i}" for i in range(0, 12, 2)}


def test_shards_without_the_page_are_the_same_bytes(out, tmp_path):
    [found] = trace_url(out, "https://a.example/4")
    done = remove(out, tmp_path / "t", Takedown(urls=frozenset({found.url})))
    assert (done.documents, done.shards_rewritten) == (1, 1)
    changed = [
        path.name
        for path in sorted((out / "tokens").glob("*.ds"))
        if path.read_bytes() != (tmp_path / "t/tokens" / path.name).read_bytes()
    ]
    assert changed == [found.spans[0].shard]


def test_a_removal_never_writes_over_a_folder(out, tmp_path):
    with pytest.raises(ConfigError, match="exists already"):
        remove(out, tmp_path, Takedown(domains=frozenset({"b.example"})))


def test_a_removal_goes_neither_into_the_run_nor_begins_with_half_of_one(out, tmp_path):
    with pytest.raises(ConfigError, match="lies in the run folder"):
        remove(out, out / "copy", Takedown(frozenset({"a.example"})))
    for folder in ("dropped", "quarantine", "steps"):
        broken = tmp_path / folder
        shutil.copytree(out, broken)
        shutil.rmtree(broken / folder)
        with pytest.raises(IntegrityError, match=f"its folder {folder} is missing"):
            remove(broken, tmp_path / "copy", Takedown(frozenset({"a.example"})))
        assert not (tmp_path / "copy").exists()


def test_url_files(tmp_path):
    (tmp_path / "urls").write_text("# taken down\nhttps://a.example/1\n\n  https://a.example/2  \n")
    assert read_urls(tmp_path / "urls") == {"https://a.example/1", "https://a.example/2"}
    (tmp_path / "empty").write_text("# nothing\n")
    with pytest.raises(InputError, match="names no URL"):
        read_urls(tmp_path / "empty")
    with pytest.raises(InputError, match="cannot be read"):
        read_urls(tmp_path / "missing")


def test_a_removal_that_finds_nothing_is_refused_and_writes_nothing(out, tmp_path):
    (tmp_path / "urls.txt").write_text("https://a.example/none\nhttps://a.example/gone\n")
    asked = ["--domain", "not-there.com", "--domain", "example.org", "--url-file", str(tmp_path / "urls.txt")]
    with pytest.raises(InputError) as error:
        CliRunner().invoke(app, ["remove", str(out), "--output", str(tmp_path / "t"), *asked], catch_exceptions=False)
    assert str(error.value) == (
        f"{out}: no document is of example.org, not-there.com, https://a.example/gone, https://a.example/none\n"
        "  `tokenmill trace OUT --domain D` or `--url U` tells what became of a page"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["urls.txt"]


def test_a_removal_says_what_it_did_not_find(out, tmp_path):
    asked = ["--domain", "b.example", "--domain", "www.b.example", "--domain", "not-there.com"]
    done = CliRunner().invoke(app, ["remove", str(out), "--output", str(tmp_path / "t"), *asked])
    assert done.exit_code == 0
    assert "6 documents" in done.output
    assert done.output.splitlines()[-1] == "no document is of not-there.com"
