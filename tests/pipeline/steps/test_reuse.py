"""`--reuse`: the same bytes as a fresh build, and refused where they could not be."""

import filecmp
import shutil
from pathlib import Path

import pytest
from warc_pages import Page, article, write_warc

from pipeline.config import load_config
from pipeline.contract.errors import ConfigError, InputError
from pipeline.contract.run import RunRecord
from pipeline.flow import build
from pipeline.tools.verify import verify

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


def test_a_changed_list_is_refused_by_name(crawl, old, tmp_path):
    domains = crawl / "domains.txt"
    domains.write_text("other.example\n")
    try:
        with pytest.raises(ConfigError, match=r"file .*domains.txt: "):
            run(crawl, tmp_path / "b", reuse=old)
    finally:
        domains.write_text("blocked.example\n")


@pytest.fixture(scope="module")
def wider(crawl, tmp_path_factory) -> Path:
    """A folder of two more files, which come before the others: all of those get other numbers."""
    folder = tmp_path_factory.mktemp("added")
    for number, name in enumerate(("a-new", "crawl-0-more")):
        pages = [Page(url=f"https://b.example/{i}", html=article(i)) for i in range(300 + 9 * number, 305 + 9 * number)]
        pages += [
            Page(url="https://blocked.example/new", html=article(60)),
            Page(url="https://b.example/c", html=article(0)),
        ]
        write_warc(folder / f"{name}.warc.gz", pages)
    return folder


def inputs_of(crawl: Path, wider: Path, *names: str) -> list[str]:
    return [str((wider if "new" in name or "more" in name else crawl) / f"{name}.warc.gz") for name in names]


def run_on(crawl: Path, out: Path, inputs: list[str], *overrides: str, reuse: Path | None = None) -> RunRecord:
    overrides = ("run.workers=1", *overrides)
    config = load_config(crawl / "build.yaml", inputs=inputs, output=str(out), overrides=overrides)
    return build(config, reuse=reuse)


@pytest.fixture(scope="module")
def fresh_three(crawl, wider, tmp_path_factory) -> Path:
    """Three inputs, from scratch."""
    out = tmp_path_factory.mktemp("runs") / "three"
    run_on(crawl, out, inputs_of(crawl, wider, "a-new", "crawl-0", "crawl-1"))
    return out


def test_a_new_input_costs_its_own_extraction_alone_and_gives_the_bytes_of_a_fresh_build(
    crawl, wider, old, fresh_three, tmp_path, capsys
):
    again = tmp_path / "again"
    record = run_on(crawl, again, inputs_of(crawl, wider, "a-new", "crawl-0", "crawl-1"), reuse=old)
    said = capsys.readouterr().err
    assert [Path(item.path).name[:7] for item in record.inputs] == ["a-new.w", "crawl-0", "crawl-1"]
    assert "extract of 2 of 3 inputs, filter of 2 of 3 inputs (then input " in said
    assert "a-new.warc.gz is new)" in said
    assert record.totals == RunRecord.read(fresh_three).totals
    assert_same_bytes(fresh_three, again)
    for step in ("extract", "filter"):
        before = [inode(old, f"steps/{step}/documents/part-{number:05d}.parquet") for number in range(2)]
        after = [inode(again, f"steps/{step}/documents/part-{number:05d}.parquet") for number in range(3)]
        assert after[1:] == before
    assert [check for check in verify(again) if not check.ok] == []


def test_inputs_that_went_away_are_left_out_and_the_others_get_their_numbers(crawl, wider, fresh_three, tmp_path):
    fewer = inputs_of(crawl, wider, "crawl-1", "crawl-0-more")
    run_on(crawl, tmp_path / "fresh", fewer)
    run_on(crawl, tmp_path / "again", fewer, reuse=fresh_three)
    assert_same_bytes(tmp_path / "fresh", tmp_path / "again")
    documents = "steps/extract/documents/part-0000{}.parquet"
    assert inode(tmp_path / "again", documents.format(1)) == inode(fresh_three, documents.format(2))


def test_a_changed_filter_and_a_new_input_take_the_extraction_of_the_others_over(crawl, wider, old, tmp_path, capsys):
    inputs = inputs_of(crawl, wider, "a-new", "crawl-0", "crawl-1")
    run_on(crawl, tmp_path / "fresh", inputs, SHORTER)
    capsys.readouterr()
    run_on(crawl, tmp_path / "again", inputs, SHORTER, reuse=old)
    said = capsys.readouterr().err
    assert "extract of 2 of 3 inputs (then filter[0].gopher_quality.min_words: 150 -> 60; input " in said
    assert_same_bytes(tmp_path / "fresh", tmp_path / "again")


def test_copies_over_the_whole_run_are_found_anew_and_only_the_digests_are_taken_over(crawl, wider, tmp_path, capsys):
    stages = "extract=[payload_digest: {scope: run}, main_text: {engine: resiliparse}]"
    run_on(crawl, tmp_path / "old", inputs_of(crawl, wider, "crawl-0", "crawl-1"), stages)
    inputs = inputs_of(crawl, wider, "a-new", "crawl-0", "crawl-1")  # a-new has a copy of a page in crawl-0
    fresh = run_on(crawl, tmp_path / "fresh", inputs, stages)
    capsys.readouterr()
    again = run_on(crawl, tmp_path / "again", inputs, stages, reuse=tmp_path / "old")
    said = capsys.readouterr().err
    assert "page digests of 2 of 3 inputs (then input " in said
    assert "payload_digest with scope: run compares the pages of all inputs" in said
    assert again.totals == fresh.totals
    assert again.totals.dropped["extract.payload_digest.copy"] == 1
    assert_same_bytes(tmp_path / "fresh", tmp_path / "again")


def test_where_no_input_is_the_same_nothing_is_taken_over(crawl, wider, old, tmp_path):
    with pytest.raises(ConfigError, match=r"crawl-0.warc.gz is no longer there"):
        run_on(crawl, tmp_path / "new", inputs_of(crawl, wider, "a-new"), reuse=old)
    run(crawl, tmp_path / "lean", "run.keep_steps=false")
    with pytest.raises(ConfigError, match=r"files of the step 'extract' are gone \(run.keep_steps: false\?\)"):
        run_on(crawl, tmp_path / "new", inputs_of(crawl, wider, "a-new", "crawl-0"), reuse=tmp_path / "lean")


def test_a_run_without_its_steps_cannot_be_reused(crawl, tmp_path):
    run(crawl, tmp_path / "old", "run.keep_steps=false")
    with pytest.raises(ConfigError, match=r"files of the step 'extract' are gone \(run.keep_steps: false\?\)"):
        run(crawl, tmp_path / "new", reuse=tmp_path / "old")


def test_neither_itself_nor_anything_else_can_be_reused(crawl, old, tmp_path):
    with pytest.raises(InputError, match="is not a run folder"):
        run(crawl, tmp_path / "new", reuse=tmp_path)
    assert run(crawl, old, reuse=old).state == "done"  # there is nothing left to do


def test_a_changed_config_in_an_old_folder_is_refused_with_what_would_help(crawl, old, tmp_path):
    def refused(*overrides: str, out: Path = old) -> str:
        with pytest.raises(ConfigError, match="holds a run with another config or input") as error:
            run(crawl, out, *overrides)
        return str(error.value.hint)

    assert f"`--reuse {old} --output NEW`" in refused(SHORTER)
    assert "--reuse" not in refused("extract=[main_text]")
    spaced = tmp_path / "an old run"
    run(crawl, spaced, "run.keep_steps=false")
    assert "--reuse" not in refused(SHORTER, out=spaced)  # what could be taken over is gone
    (spaced / "steps").rename(tmp_path / "gone")
    (spaced / "steps").symlink_to(old / "steps")
    assert f"`--reuse '{spaced}' --output NEW`" in refused(SHORTER, out=spaced)


@pytest.mark.parametrize("content", [b"{", None])
def test_a_damaged_run_is_named_with_what_to_do(crawl, old, tmp_path, content):
    shutil.copytree(old, tmp_path / "old")
    commit = tmp_path / "old" / "steps" / "extract" / "commits" / "00000.json"
    commit.write_bytes(content or commit.read_bytes().replace(b'"rows": ', b'"rows": 1'))
    with pytest.raises(
        ConfigError, match=r"--reuse .*old: is damaged: (.|\n)*build without --reuse; or build that run"
    ):
        run(crawl, tmp_path / "new", reuse=tmp_path / "old")
