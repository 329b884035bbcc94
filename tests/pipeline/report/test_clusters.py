"""The clusters of a run: sizes, members, exact similarity, and that nothing of a page reaches the terminal as it is."""

import dataclasses
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner
from warc_pages import Page, article, write_warc

from pipeline.cli.main import app
from pipeline.config import load_config
from pipeline.contract.errors import InputError
from pipeline.dedup.config import DedupConfig, MinHashConfig
from pipeline.flow import build
from pipeline.report.cluster_texts import exact_jaccard
from pipeline.report.clusters import Clusters, find_clusters, hosts
from pipeline.report.printable import printable

EVIL = "Danger \x1b[31mred\x1b[0m and \u202etxet desrever and &lt;script&gt;alert(1)&lt;/script&gt; at the end."
CONFIG = """
extract: [{main_text: {engine: resiliparse}}]
dedup: {scope: global}
tokenize: {train_tokenizer: {vocabulary_size: 400}}
run: {isolate: false}
"""


def variant(number: int) -> str:
    return article(500, 40).replace("</main>", f"<p>This is the copy of number {'abcdefgh'[number]} alone.</p></main>")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A crawl of an article that stands on five hosts, one that stands twice the same, and eight others."""
    folder = tmp_path_factory.mktemp("clusters")
    dates = [f"2024-01-0{day}T00:00:00Z" for day in range(1, 8)]
    pages = [Page(url=f"https://mirror{i % 3}.example/{i}", html=variant(i), date=dates[i]) for i in range(5)]
    pages.append(
        Page(url="https://evil.example/%1B", html=variant(5).replace("</main>", f"<p>{EVIL}</p></main>"), date=dates[6])
    )
    pages += [Page(url=f"https://twice.example/{i}", html=article(7), date=dates[i]) for i in range(2)]
    pages += [Page(url=f"https://once.example/{i}", html=article(20 + i)) for i in range(8)]
    for number in range(3):
        write_warc(folder / f"{number}.warc.gz", pages[number::3])
    (folder / "c.yaml").write_text(CONFIG)
    return folder


def run(folder: Path, out: str, *overrides: str) -> Path:
    config = load_config(
        folder / "c.yaml", inputs=[f"{folder}/*.warc.gz"], output=str(folder / out), local=True, overrides=overrides
    )
    build(config, quiet=True)
    return folder / out


@pytest.fixture(scope="module")
def out(folder) -> Path:
    return run(folder, "out")


def test_the_biggest_cluster_with_its_hosts_and_members(out):
    found = find_clusters(out)
    assert (found.clusters, found.sizes) == (2, ((2, 1), (6, 1)))
    assert found.removed == {"exact_duplicate": 1, "near_duplicate": 5}
    big, small = found.top
    assert (big.size, big.kept.url) == (6, "https://mirror0.example/0")
    assert big.hosts == (("mirror1.example", 2), ("evil.example", 1), ("mirror0.example", 1), ("mirror2.example", 1))
    assert {pair.page.url for pair in big.members} == {
        *(f"https://mirror{i % 3}.example/{i}" for i in range(1, 5)), "https://evil.example/%1B"
    }  # fmt: skip
    assert all(pair.kept == big.kept.id and 0.7 < pair.exact < 1 for pair in big.members)
    assert (small.size, small.members[0].exact, small.members[0].reason) == (2, 1.0, "exact_duplicate")
    least = min(big.members, key=lambda pair: pair.exact)
    assert big.shown == least.page.id
    assert least.page.url == "https://evil.example/%1B"  # which has a paragraph more
    assert any(row.kind == "added" for row in big.difference.rows)


def test_the_precision_is_of_near_duplicates_and_exact(out):
    found = find_clusters(out).precision
    assert (found.pairs, found.sampled, found.compared) == (5, 5, 5)
    exact = [pair.exact for pair in found.worst]
    assert exact == sorted(exact)
    assert found.mean == pytest.approx(sum(exact) / 5)
    assert dict(found.at_least)[0.7] == sum(one >= 0.7 for one in exact) / 5
    assert sum(number for _, number in found.histogram) == 5
    assert found.mean_error < 0.15


def test_jaccard_by_hand():
    config = DedupConfig(minhash=MinHashConfig(ngram=2))
    # {a b, b c, c d} and {a b, b c, c e}: two of four
    assert exact_jaccard("a b c d", "a b c e", config) == 0.5
    assert exact_jaccard("A, b C!", "a b c", config) == 1.0
    assert exact_jaccard("a", "b", config) == 0.0
    assert exact_jaccard("", "", config) == 1.0


def test_samples_depend_on_the_seed_and_on_nothing_else(out, folder):
    def urls(found: Clusters) -> list[str]:
        return [pair.page.url for pair in found.top[0].members]

    first = find_clusters(out, members=2, pairs=2)
    assert find_clusters(out, members=2, pairs=2) == first
    assert len(first.precision.worst) == 2
    others = {tuple(urls(find_clusters(out, members=2, pairs=2, seed=seed))) for seed in range(6)}
    assert len(others) > 1


def test_no_top_and_no_pairs(out):
    found = find_clusters(out, top=0, pairs=0)
    assert (found.clusters, found.top, found.precision.compared, found.precision.mean) == (2, (), 0, None)
    assert len(find_clusters(out, top=1).top) == 1


def test_texts_that_are_gone_are_said_to_be(folder):
    without = run(folder, "without", "run.keep_steps=false")
    found = find_clusters(without)
    assert (found.clusters, found.precision.sampled, found.precision.compared) == (2, 5, 0)
    assert (found.top[0].difference, found.top[0].members[0].exact) == (None, None)
    assert "run.keep_steps is off" in found.texts
    shown = CliRunner().invoke(app, ["clusters", str(without)]).stdout
    assert "of which none could be compared" in shown and "not compared side by side" in shown
    stored = run(folder, "stored", "run.keep_steps=false", "run.dropped_text=true")
    assert find_clusters(stored).precision.compared == 5


def test_nothing_of_a_page_reaches_the_terminal_or_the_html_as_it_is(out, tmp_path):
    page = tmp_path / "page.html"
    result = CliRunner().invoke(app, ["clusters", str(out), "--html", str(page)])
    assert result.exit_code == 0
    for shown in (result.stdout, page.read_text()):
        assert "\x1b" not in shown and "\u202e" not in shown
        assert "\\u202e" in shown
    assert "<script>alert" not in page.read_text()
    assert "&lt;script&gt;alert(1)" in page.read_text()


def test_control_characters_are_written_out():
    assert printable("a\x1b[2J\r\n\tb\x9bc\u2066d\ufeff\ud800") == "a\\x1b[2J\\r\\n\\tb\\x9bc\\u2066d\\ufeff\\ud800"
    assert printable("naïve 漢字 🙂 ‍") == "naïve 漢字 🙂 ‍"


def test_the_json_holds_all(out):
    result = CliRunner().invoke(app, ["clusters", str(out), "--json", "--top", "1"])
    tree = json.loads(result.stdout)
    assert tree == json.loads(json.dumps(dataclasses.asdict(find_clusters(out, top=1))))
    assert "\x1b" not in result.stdout


def test_the_report_shows_clusters_and_leaves_no_duplicates_out(out):
    report = (out / "report.html").read_text()
    assert "2 clusters of two documents or more" in report
    assert "https://mirror0.example/0" in report and 'class="diff"' in report
    assert "\u202e" not in report


def test_a_run_without_dedup_has_no_clusters(folder):
    none = run(folder, "none", "dedup=null")
    assert find_clusters(none).clusters == 0
    assert "<h2>Duplicates</h2>" not in (none / "report.html").read_text()


def test_a_run_that_keeps_all_members_names_their_clusters(folder):
    kept = run(folder, "kept", "dedup.remove=false")
    found = find_clusters(kept)
    assert (found.clusters, found.sizes, found.removed) == (2, ((2, 1), (6, 1)), {"": 6})
    assert found.precision.compared == 6  # exact ones too: nothing says which they are
    assert (found.top[0].kept.url, len(found.top[0].members)) == ("https://mirror0.example/0", 5)


def test_documents_that_went_for_one_of_an_earlier_run(out, tmp_path):
    page = Page(url="https://later.example/0", html=variant(6), date="2025-01-01T00:00:00Z")
    write_warc(tmp_path / "later.warc.gz", [page, Page(url="https://later.example/1", html=article(99))])
    (tmp_path / "c.yaml").write_text(CONFIG)
    later = run(tmp_path, "later", f"dedup.previous_runs=[{out}]")
    found = find_clusters(later)
    assert (found.clusters, found.top, found.for_previous_runs, found.removed) == (0, (), 1, {"near_duplicate": 1})
    [pair] = found.precision.worst
    assert pair.run == str(out)
    assert 0.7 < pair.exact < 1 and abs(pair.exact - pair.estimate) < 0.15
    assert "1 documents were removed as duplicates of one in a previous run" in (later / "report.html").read_text()


def test_a_run_that_is_not_done_is_refused(out, tmp_path):
    with pytest.raises(InputError, match="is not a run folder"):
        find_clusters(tmp_path)
    shutil.copytree(out, tmp_path / "out")
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    (tmp_path / "out" / "run.json").write_text(json.dumps({**record, "state": "failed"}))
    with pytest.raises(InputError, match="is failed, not done"):
        find_clusters(tmp_path / "out")


def test_hosts():
    urls = {
        "https://A.example:80/x": "a.example", "http://user:pass@b.example?q": "b.example", "http://[::1]:80/": "[::1]",
        "http://c.example#@d.example": "c.example", "nothing": "(no host)",
        "http://[x": "(no host)", "http:///x": "(no host)",
        "https://köln.example": "köln.example",
    }  # fmt: skip
    assert hosts(pa.chunked_array([list(urls)])).to_pylist() == list(urls.values())
