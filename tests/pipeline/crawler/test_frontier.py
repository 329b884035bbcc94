"""Which URLs come next, from nothing but the pages."""

import pytest

from pipeline.crawler.frontier import MAX_REDIRECTS, Entry, Frontier
from pipeline.crawler.url import parse_url


def urls(*texts):
    return [parse_url(text if "://" in text else f"http://a.example/{text}") for text in texts]


def frontier(*seeds, same_host=True, max_depth=None):
    return Frontier(urls(*seeds), same_host=same_host, max_depth=max_depth)


def texts(entries):
    return [entry.url.text.removeprefix("http://") for entry in entries]


def test_a_wave_is_sorted_with_a_page_of_each_host_in_turn():
    waiting = frontier("http://b.example/2", "http://a.example/9", "http://b.example/1", "http://a.example/1",
                       "http://b.example/3")  # fmt: skip
    assert texts(waiting.take()) == ["a.example/1", "b.example/1", "a.example/9", "b.example/2", "b.example/3"]
    assert waiting.take() == []


def test_every_url_enters_once_and_new_ones_are_told_sorted():
    waiting = frontier("x")
    [seed] = waiting.take()
    new, ignored = waiting.offer(seed, urls("b", "x", "a", "b", "a#part"), redirect=False)
    assert (texts_of(new), dict(ignored)) == (["a", "b"], {})
    assert waiting.offer(seed, urls("a"), redirect=False) == ([], {})
    assert waiting.take() == [Entry(url, 1, 0, "http://a.example/x") for url in urls("a", "b")]


def texts_of(found):
    return [url.text.rpartition("/")[2] for url in found]


def test_other_hosts_are_ignored_where_asked():
    references = urls("http://b.example/", "http://a.example:8080/", "https://a.example/", "http://www.a.example/")
    for same_host, taken in ((True, ["https://a.example/"]), (False, sorted(url.text for url in references))):
        waiting = frontier("x", same_host=same_host)
        new, ignored = waiting.offer(waiting.take()[0], references, redirect=False)
        assert [url.text for url in new] == taken
        assert ignored["other_host"] == 4 - len(taken)


@pytest.mark.parametrize(("depth", "redirect", "taken"), [(1, False, True), (2, False, False), (2, True, True)])
def test_links_end_at_the_depth_and_redirects_are_none(depth, redirect, taken):
    waiting = frontier("x", max_depth=2)
    new, ignored = waiting.offer(Entry(urls("page")[0], depth), urls("next"), redirect=redirect)
    assert (bool(new), ignored["too_deep"]) == (taken, int(not taken))


def test_redirects_end_after_so_many_and_a_link_starts_the_count_anew():
    waiting = frontier("x")
    page = Entry(urls("page")[0], 3, MAX_REDIRECTS)
    assert waiting.offer(page, urls("over"), redirect=True) == ([], {"too_many_redirects": 1})
    waiting.take()
    assert len(waiting.offer(page, urls("link"), redirect=False)[0]) == 1
    [entry] = waiting.take()
    assert (entry.depth, entry.redirects) == (4, 0)
    assert len(waiting.offer(Entry(page.url, 3, MAX_REDIRECTS - 1), urls("last"), redirect=True)[0]) == 1
    [entry] = waiting.take()
    assert (entry.depth, entry.redirects) == (3, 10)
