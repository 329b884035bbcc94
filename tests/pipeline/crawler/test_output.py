"""The folder of a crawl: outcomes in, files out, and back again."""

import json

import pytest

from pipeline.contract.errors import InputError, IntegrityError
from pipeline.crawler.fetch import Failure, Response
from pipeline.crawler.frontier import Entry
from pipeline.crawler.host import Refusal
from pipeline.crawler.output import CrawlFolder, Outcome, Tally
from pipeline.crawler.settings import CrawlConfig, CrawlSummary
from pipeline.crawler.url import parse_url

CONFIG = CrawlConfig(seeds=("http://a.example/",), per_warc=2, date="2026-01-31T00:00:00Z")


def entry(path, **fields):
    return Entry(parse_url(f"http://a.example/{path}"), **fields)


def page(body=b"<p>a page</p>", status=200, **fields):
    head = f"HTTP/1.1 {status} X\r\nContent-Type: text/html\r\n\r\n".encode()
    return Response(address="127.0.0.1", request=b"GET / HTTP/1.1\r\n\r\n", head=head, body=body, status=status,
                    headers=(("Content-Type", "text/html"),), **fields)  # fmt: skip


def write(crawl, *results):
    """The outcomes of pages 0, 1, ... that came to these results."""
    return [crawl.write(entry(str(n)), result, (), {}) for n, result in enumerate(results)]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_only_refusals_were_not_requested():
    made = [Outcome(url="u", outcome=name) for name in ("stored", "timeout", "robots_disallowed", "host_unreachable")]
    assert [outcome.requested for outcome in made] == [True, True, False, False]


@pytest.mark.parametrize(("status", "redirect"), [(301, True), (308, True), (304, False), (200, False), (None, False)])
def test_what_counts_as_a_redirect(status, redirect):
    assert Outcome(url="u", outcome="stored", status=status).redirect is redirect


def test_a_tally_counts_by_kind_with_sorted_keys():
    tally = Tally()
    for outcome in (
        Outcome(url="1", outcome="stored", status=404, bytes=3, warc="b"),
        Outcome(url="2", outcome="stored", status=200, bytes=4, warc="a", truncated="length", ignored={"too_deep": 2}),
        Outcome(url="3", outcome="stored", status=200, bytes=0, warc="b"),
        Outcome(url="4", outcome="timeout"),
        Outcome(url="5", outcome="robots_disallowed", ignored={"too_deep": 1, "other_host": 1}),
    ):
        tally.add(outcome)
    summary = tally.summary()
    assert summary == CrawlSummary(
        requested=4, stored=3, bytes=7, truncated=1, statuses={"200": 2, "404": 1}, failed={"timeout": 1},
        refused={"robots_disallowed": 1}, ignored={"too_deep": 3, "other_host": 1}, warcs=("b", "a"),
    )  # fmt: skip
    assert list(summary.statuses) == ["200", "404"] and list(summary.ignored) == ["other_host", "too_deep"]


def test_a_file_is_complete_after_so_many_pages_and_outcomes_come_back_as_written(tmp_path):
    crawl = CrawlFolder(tmp_path, CONFIG)
    links = [parse_url("http://a.example/x")]
    with crawl.locked():
        assert crawl.read_outcomes() == []
        first = crawl.write(
            entry("0", depth=1, via="http://a.example/"), page(truncated="length"), links, {"too_deep": 1}
        )
        others = [crawl.write(entry("1"), Failure("timeout", "no answer"), (), {}),
                  crawl.write(entry("2"), Refusal("robots_disallowed"), (), {})]  # fmt: skip
        assert names(tmp_path) == ["crawl-00000.warc.gz.open", "crawl.json"]
        last = crawl.write(entry("3"), page(), (), {})
        assert names(tmp_path) == ["crawl-00000.jsonl", "crawl-00000.warc.gz", "crawl.json"]
    assert (first.outcome, first.status, first.bytes, first.truncated, first.depth) == ("stored", 200, 13, "length", 1)
    assert first.links == ("http://a.example/x",) and first.ignored == {"too_deep": 1}
    assert [(one.outcome, one.detail) for one in others] == [("timeout", "no answer"), ("robots_disallowed", None)]
    assert 0 < first.offset < first.offset + first.length < last.offset
    again = CrawlFolder(tmp_path, CONFIG)
    with again.locked():
        assert again.read_outcomes() == [first, *others, last]


def test_new_outcomes_go_into_the_file_after_the_complete_ones(tmp_path):
    for _ in range(2):
        crawl = CrawlFolder(tmp_path, CONFIG)
        with crawl.locked():
            crawl.read_outcomes()
            write(crawl, page(), page())
    assert [name for name in names(tmp_path) if name.endswith(".gz")] == ["crawl-00000.warc.gz", "crawl-00001.warc.gz"]


def test_an_unfinished_file_is_deleted_on_the_way_out(tmp_path):
    crawl = CrawlFolder(tmp_path, CONFIG)
    with pytest.raises(ZeroDivisionError), crawl.locked():
        write(crawl, page())
        raise ZeroDivisionError
    assert names(tmp_path) == ["crawl.json"]


def test_a_finished_crawl_has_its_summary(tmp_path):
    crawl, summary = CrawlFolder(tmp_path, CONFIG), CrawlSummary(stored=1, statuses={"200": 1}, warcs=("a", "b"))
    with crawl.locked():
        assert crawl.finished() is None
        write(crawl, Failure("dns", "no such name"))
        crawl.finish(summary)
        assert crawl.finished() == summary
    # Without a response there is an index and no WARC file.
    assert names(tmp_path) == ["crawl-00000.jsonl", "crawl.json"]
    assert json.loads((tmp_path / "crawl.json").read_text())["state"] == "done"


def test_one_crawl_holds_a_folder_at_a_time(tmp_path):
    first, second = CrawlFolder(tmp_path, CONFIG), CrawlFolder(tmp_path, CONFIG)
    with first.locked(), pytest.raises(InputError, match="another crawl is writing here"), second.locked():
        pass
    with second.locked():
        assert second.read_outcomes() == []


def test_other_settings_and_lost_indexes_are_refused(tmp_path):
    crawl = CrawlFolder(tmp_path, CONFIG)
    with crawl.locked():
        write(crawl, page(), page())
    other = CrawlConfig(seeds=CONFIG.seeds, per_warc=3, date=CONFIG.date, delay=9)  # the pace may change
    with pytest.raises(InputError, match=r"other settings: per_warc: 2 -> 3\n"), CrawlFolder(tmp_path, other).locked():
        pass
    (tmp_path / "crawl-00000.jsonl").unlink()
    with (
        CrawlFolder(tmp_path, CONFIG).locked(),
        pytest.raises(IntegrityError, match=r"index crawl-00000\.jsonl is missing"),
    ):
        CrawlFolder(tmp_path, CONFIG).read_outcomes()
