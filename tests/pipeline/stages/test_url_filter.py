"""The URL filter: each reason, both sides of each limit, and addresses meant to break it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.contract.errors import InputError
from pipeline.document import Document, Drop
from pipeline.stages.url_filter import UrlFilter

MakeDoc = Callable[..., Document]


@pytest.fixture
def listed(tmp_path: Path) -> UrlFilter:
    """A filter over small lists of its own."""
    files = {
        "domains": "blocked.example\nünlaut.example\nUPPER.example\n203.0.113.7\n[2001:db8::7]\n",
        "urls": "https://www.partly.example/Bad/\nsite.example/a/b?ignored\n",
        "banned_words": "casino\n",
        "soft_banned_words": "poker\nbets\n",
        "banned_subwords": "free money\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    return UrlFilter(shipped_lists=False, **{name: (str(tmp_path / name),) for name in files})  # type: ignore[arg-type]


def reason(stage: UrlFilter, url: str) -> tuple[str, str | None] | None:
    outcome = stage(Document(id="1", url=url))
    return (outcome.reason, outcome.detail) if isinstance(outcome, Drop) else None


@pytest.mark.parametrize(
    "url",
    [
        "https://blocked.example/",
        "http://a.b.blocked.example/page",
        "HTTPS://BLOCKED.EXAMPLE",
        "https://blocked.example.:8080/x",
        "https://user:secret@blocked.example/",
        "https://a@b@blocked.example/",
        "blocked.example/path",
        "//blocked.example/path",
        "https:/blocked.example",
        "https:\\\\blocked.example\\path",
        "https://bl%6Fcked.example/",
        "  https://blo\tcked\n.example/\x00",
        "ftp://blocked.example?q#f",
    ],
)
def test_a_listed_domain_and_all_below_it_are_blocked(listed: UrlFilter, url: str) -> None:
    assert reason(listed, url) == ("domain", "blocked.example")


@pytest.mark.parametrize(
    "url",
    [
        "https://notblocked.example/",
        "https://blocked.example.org/",
        "https://blocked-example/",
        "https://other.example/blocked.example",
        "https://other.example/?u=https://blocked.example/",
        "https://other.example/#@blocked.example",
        "https://blocked.example@other.example/",
        "https://example/",
    ],
)
def test_names_that_only_look_like_a_listed_domain_pass(listed: UrlFilter, url: str) -> None:
    assert reason(listed, url) is None


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://www.ünlaut.example/", "xn--nlaut-jva.example"),
        ("https://xn--nlaut-jva.example/", "xn--nlaut-jva.example"),
        ("https://upper.example/", "upper.example"),
        ("http://203.0.113.7:80/", "203.0.113.7"),
        ("http://[2001:db8::7]:80/", "2001:db8::7"),
    ],
)
def test_domains_in_other_forms(listed: UrlFilter, url: str, name: str) -> None:
    assert reason(listed, url) == ("domain", name)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://partly.example/bad", "partly.example/bad"),
        ("https://WWW.partly.example/Bad/worse?q=1", "partly.example/bad"),
        ("https://site.example/a//b/", "site.example/a/b"),
        ("https://partly.example/badly", None),
        ("https://partly.example/", None),
        ("https://sub.partly.example/bad", None),
        ("https://site.example/a", None),
    ],
)
def test_a_listed_url_blocks_itself_and_what_lies_below(listed: UrlFilter, url: str, address: str | None) -> None:
    assert reason(listed, url) == (None if address is None else ("url", address))


def test_words_in_the_order_of_their_severity(listed: UrlFilter) -> None:
    assert reason(listed, "https://x.example/my-casino/poker-bets/free-money") == ("banned_word", "casino")
    assert reason(listed, "https://x.example/poker-BETS/free-money") == ("soft_banned_words", "bets poker")
    assert reason(listed, "https://x.example/poker/fr-ee.mon_ey-now") == ("banned_subword", "freemoney")
    assert reason(listed, "https://x.example/poker/casinos") is None
    assert reason(listed, "https://x.example/%43asino") == ("banned_word", "casino")


def test_two_different_soft_words_block_and_one_does_not(listed: UrlFilter, make_doc: MakeDoc) -> None:
    two, one = "https://x.example/poker?bets", "https://x.example/poker/poker"
    assert listed(make_doc(url=two)) == Drop("soft_banned_words", value=2, limit=2, detail="bets poker")
    assert isinstance(listed(make_doc(url=one)), Document)
    strict, off = (UrlFilter(shipped_lists=False, soft_banned_words=listed.soft_banned_words, min_soft_words=least)
                   for least in (1, None))  # fmt: skip
    assert strict(make_doc(url=one)) == Drop("soft_banned_words", value=1, limit=1, detail="poker")
    assert isinstance(off(make_doc(url=two)), Document)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="min_soft_words: must be at least 1, got 0"):
        UrlFilter(min_soft_words=0)


def test_a_missing_list_names_its_file(make_doc: MakeDoc, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.txt"):
        UrlFilter(shipped_lists=False, domains=(str(tmp_path / "absent.txt"),))(make_doc())


def test_without_lists_everything_passes(make_doc: MakeDoc) -> None:
    doc = make_doc(url="https://blocked.example/casino")
    assert UrlFilter(shipped_lists=False)(doc) is doc


@pytest.mark.parametrize(
    "url",
    ["", " ", "http://", "http:///path", "://", "@", "http://@/", "http://[::1", "http://..", "http://%", "http://%00/",
     "\ud800", "http://\udfff.example/", "http://xn--.example/", "http://" + "ü" * 300, "http://a..b/", "?", "#",
     "mailto:me@x.example", "http://" + "a." * 500_000, "http://x.example/" + "a/" * 500_000,
     "http://x.example/" + "%25" * 300_000, "x" * 1_000_000],
    ids=lambda url: repr(url[:20]),
)  # fmt: skip
def test_hostile_addresses_get_an_answer(listed: UrlFilter, url: str, make_doc: MakeDoc) -> None:
    doc = make_doc(url=url)
    assert listed(doc) is doc


def test_a_listed_domain_is_found_below_any_number_of_labels(listed: UrlFilter) -> None:
    assert reason(listed, "http://" + "a." * 100_000 + "blocked.example/") == ("domain", "blocked.example")


def test_agrees_with_the_labels_of_real_urls(shared_data: Path) -> None:
    stage = UrlFilter(shipped_lists=False, domains=(str(shared_data / "url" / "easylist-domains.txt"),))
    samples = [json.loads(line) for line in (shared_data / "url" / "urls-sample.jsonl").open(encoding="utf-8")]
    assert len(samples) == 510
    wrong = [sample for sample in samples if (reason(stage, sample["url"]) is not None) != sample["blocked"]]
    assert wrong == []


def test_the_shipped_lists(make_doc: MakeDoc) -> None:
    """One entry of each list that comes with datatrove, and a page that is in none."""
    stage = UrlFilter()
    for url, expected in [
        ("http://www.0-1SEX.com/", ("domain", "0-1sex.com")),
        ("http://anything.xxx/", ("domain", "xxx")),
        ("https://www.quora.com/Does-regular-masturbation-decrease-the-chance-of-getting-a-woman-pregnant",
         ("url", "quora.com/does-regular-masturbation-decrease-the-chance-of-getting-a-woman-pregnant")),
        ("https://x.example/Bukkake", ("banned_word", "bukkake")),
        ("https://x.example/babes-ass", ("soft_banned_words", "ass babes")),
        ("https://x.example/barely%20legal", ("banned_subword", "barelylegal")),
        ("https://docs.python.org/3/library/re.html", None),
        ("https://x.example/classes-in-essex", None),
    ]:  # fmt: skip
        assert reason(stage, url) == expected, url
