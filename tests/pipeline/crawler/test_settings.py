"""Settings that make no sense, and the summary's words for the user."""

import pytest

from pipeline.contract.errors import ConfigError
from pipeline.crawler.crawl import crawl
from pipeline.crawler.settings import CrawlConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"limit": 0}, "--limit: must be at least 1, got 0"),
        ({"delay": -1}, "--delay: must be at least 0, got -1"),
        ({"timeout": 0}, "--timeout: must be more than 0, got 0"),
        ({"max_depth": -1}, "--max-depth: must be at least 0, got -1"),
        ({"user_agent": "*"}, "--user-agent: must start with a word"),
        ({"user_agent": "a\r\nX: y"}, "--user-agent: must start with a word"),
        ({"name": "../x"}, "--name: must be letters"),
        ({"date": "yesterday"}, "--date: must look like 2026-01-31T00:00:00Z"),
        ({"connect_to": ("site.example:80",)}, "--connect-to: must be HOST:PORT:ADDRESS:PORT"),
    ],
)
def test_impossible_settings_are_named(tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        crawl(["http://site.example/"], tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("seed", "hint"), [("site.example/a", "write it as http://site.example/a"), ("ftp://x/", None), ("", None)]
)
def test_a_seed_that_is_no_url_is_named(tmp_path, seed, hint):
    with pytest.raises(ConfigError, match="is no http or https URL") as caught:
        crawl([seed], tmp_path / "out")
    assert caught.value.hint == hint


def test_ipv6_and_names_in_connect_to():
    config = CrawlConfig(seeds=("http://a.example/",), connect_to=("A.example:80:[::1]:8080", "[::2]:81:127.0.0.1:1"))
    assert config.endpoints() == {("a.example", 80): ("::1", 8080), ("::2", 81): ("127.0.0.1", 1)}


def test_addresses_and_localhost_may_be_private_and_names_may_not():
    seeds = (
        "http://127.0.0.1/",
        "http://localhost/",
        "http://app.localhost/",
        "http://[::1]/",
        "http://inside.example/",
    )
    assert CrawlConfig(seeds=seeds).private_hosts() == {"127.0.0.1", "localhost", "app.localhost", "::1"}
    assert "inside.example" in CrawlConfig(seeds=seeds, allow_private=True).private_hosts()
