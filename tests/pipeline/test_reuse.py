"""`--reuse`: the same bytes as a fresh build, and refused where they could not be."""

import filecmp
from pathlib import Path

import pytest
from warc_pages import Page, article, write_warc

from pipeline.config import load_config
from pipeline.contract.errors import ConfigError, InputError
from pipeline.contract.run import RunRecord
from pipeline.flow import build
from pipeline.verify import verify

CONFIG = """
extract:
  - url_filter: {domains: [DOMAINS]}
  - main_text: {engine: resiliparse}
filter: [gopher_quality: {min_words: 150}, c4]
tokenize:
  train_tokenizer: {vocabulary_size: 400}
  tokens_per_shard: 5000
run: {local: true, isolate: false}
"""
FOLDERS = ("documents", "dropped", "quarantine", "tokens", "steps/extract/documents", "steps/filter/measured")
SHORTER = "filter.gopher_quality.min_words=60"


@pytest.fixture(scope="module")
def crawl(tmp_path_factory) -> Path:
    """Two WARC files with long and short articles."""
    folder = tmp_path_factory.mktemp("crawl")
    for number in range(2):
        pages = [Page(url=f"https://a.example/{i}", html=article(i)) for i in range(100 * number, 100 * number + 6)]
        for sentences in (2, 6):
            url = f"https://a.example/short-{number}-{sentences}"
            pages.append(Page(url=url, html=article(10 * number + sentences, sentences=sentences)))
        pages.append(Page(url=f"https://blocked.example/{number}", html=article(50 + number)))
        write_warc(folder / f"crawl-{number}.warc.gz", pages)
    (folder / "domains.txt").write_text("blocked.example\n")
    (folder / "build.yaml").write_text(CONFIG.replace("DOMAINS", str(folder / "domains.txt")))
    return folder


def run(crawl: Path, out: Path, *overrides: str, reuse: Path | None = None) -> RunRecord:
    config = load_config(
        crawl / "build.yaml", inputs=[f"{crawl}/*.warc.gz"], output=str(out), overrides=["run.workers=1", *overrides]
    )
    return build(config, quiet=True, reuse=reuse)


@pytest.fixture(scope="module")
def old(crawl, tmp_path_factory) -> Path:
    """A finished run."""
    out = tmp_path_factory.mktemp("runs") / "old"
    run(crawl, out)
    return out


def assert_same_bytes(one: Path, other: Path) -> None:
    for folder in FOLDERS:
        assert (one / folder).is_dir(), folder
        names = sorted(path.name for path in (one / folder).iterdir() if path.is_file())
        assert names == sorted(path.name for path in (other / folder).iterdir() if path.is_file())
        _, differing, odd = filecmp.cmpfiles(one / folder, other / folder, names, shallow=False)
        assert (differing, odd) == ([], []), folder


def inode(out: Path, path: str) -> int:
    return (out / path).stat().st_ino


def test_a_changed_filter_takes_step_1_over_and_gives_the_bytes_of_a_fresh_build(crawl, old, tmp_path, capsys):
    fresh = run(crawl, tmp_path / "fresh", SHORTER)
    again = run(crawl, tmp_path / "again", SHORTER, reuse=old)
    assert again.totals == fresh.totals
    assert again.totals.kept > RunRecord.read(old).totals.kept
    assert_same_bytes(tmp_path / "fresh", tmp_path / "again")
    extracted, filtered = (f"steps/{step}/documents/part-00000.parquet" for step in ("extract", "filter"))
    assert inode(tmp_path / "again", extracted) == inode(old, extracted)
    assert inode(tmp_path / "again", filtered) != inode(old, filtered)
    assert [check for check in verify(tmp_path / "again") if not check.ok] == []


def test_a_changed_tokenize_section_takes_all_but_the_last_step_over(crawl, old, tmp_path):
    run(crawl, tmp_path / "fresh", "tokenize.tokens_per_shard=1000")
    run(crawl, tmp_path / "again", "tokenize.tokens_per_shard=1000", reuse=old)
    assert_same_bytes(tmp_path / "fresh", tmp_path / "again")
    deduped = "steps/dedup/documents/part-00001.parquet"
    assert inode(tmp_path / "again", deduped) == inode(old, deduped)


def test_a_killed_build_can_be_reused_as_far_as_it_came(crawl, old, tmp_path):
    part = tmp_path / "killed"
    run(crawl, part)
    (part / "steps/extract/commits/00001.json").unlink()
    for ledger in ("filter", "dedup"):
        for commit in (part / "steps" / ledger / "commits").iterdir():
            commit.unlink()
    run(crawl, tmp_path / "again", reuse=part)
    assert_same_bytes(old, tmp_path / "again")


def test_a_changed_extraction_is_refused_and_leaves_the_new_folder_free(crawl, old, tmp_path):
    with pytest.raises(ConfigError, match=r"extract\[1\].main_text.comments: false -> true"):
        run(crawl, tmp_path / "new", "extract.main_text.comments=true", reuse=old)
    assert run(crawl, tmp_path / "new", SHORTER, reuse=old).state == "done"


def test_a_changed_input_file_or_list_is_refused_by_name(crawl, old, tmp_path):
    config = crawl / "build.yaml"
    with pytest.raises(ConfigError, match=r"crawl-1.warc.gz is no longer there"):
        build(load_config(config, inputs=[f"{crawl}/crawl-0.warc.gz"], output=str(tmp_path / "a")), reuse=old)
    domains = crawl / "domains.txt"
    domains.write_text("other.example\n")
    try:
        with pytest.raises(ConfigError, match=r"file .*domains.txt: "):
            run(crawl, tmp_path / "b", reuse=old)
    finally:
        domains.write_text("blocked.example\n")


def test_a_run_without_its_steps_cannot_be_reused(crawl, tmp_path):
    run(crawl, tmp_path / "old", "run.keep_steps=false")
    with pytest.raises(ConfigError, match=r"files of the step 'extract' are gone \(run.keep_steps: false\?\)"):
        run(crawl, tmp_path / "new", reuse=tmp_path / "old")


def test_neither_itself_nor_anything_else_can_be_reused(crawl, old, tmp_path):
    with pytest.raises(InputError, match="is not a run folder"):
        run(crawl, tmp_path / "new", reuse=tmp_path)
    assert run(crawl, old, reuse=old).state == "done"  # there is nothing left to do
