"""What a crawl is told, and what it tells at the end."""

import dataclasses
import datetime
import ipaddress
import re
from dataclasses import dataclass, field
from typing import Any

from pipeline import __version__
from pipeline.contract.errors import ConfigError
from pipeline.crawler.fetch import Endpoint
from pipeline.crawler.robots import product_token
from pipeline.crawler.url import Url, parse_url

UNFIXED = frozenset({"delay", "concurrency", "timeout", "connect_to"})
"""Settings of pace and place: a crawl may go on with others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CrawlConfig:
    """Settings of one crawl.

    Raises:
        ValueError: a value that makes no sense, named.
    """

    seeds: tuple[str, ...]
    """http(s) URLs to start from."""
    limit: int = 100
    """Requests for pages, at most; robots.txt is not counted."""
    same_host: bool = True
    """Follow links to the seeds' hosts alone (a host on another port is another host)."""
    max_depth: int | None = None
    """Links to follow from a seed, at most."""
    delay: float = 1.0
    """Seconds between two requests to one host; a longer Crawl-delay in robots.txt wins."""
    max_crawl_delay: float = 30.0
    """A host that asks for more seconds than this is left alone."""
    concurrency: int = 8
    """Hosts to talk to at the same time; one host never sees two requests at once."""
    user_agent: str = f"tokenmill/{__version__}"
    """Sent with every request; say here where you can be reached. robots.txt names you by the part before `/`."""
    timeout: float = 30.0
    """Seconds for one request, from connecting to the last byte; a slower body is cut (WARC-Truncated: time)."""
    max_bytes: int = 5 * 1024 * 1024
    """Longer bodies are cut (WARC-Truncated: length); Common Crawl's limit since 2025."""
    per_warc: int = 1000
    """Pages in one WARC file."""
    allow_private: bool = False
    """Let a seed's host name stand for an address that is not on the public internet. IP addresses given as seeds,
    `localhost` and the hosts of `connect_to` need no leave."""
    connect_to: tuple[str, ...] = ()
    """`HOST:PORT:ADDRESS:PORT`: connect there instead of asking DNS for HOST, as curl's option of this name."""
    date: str | None = None
    """Write this time (`2026-01-31T00:00:00Z`) into every record, and no durations: the files are then the same each
    time. None: the time of each request."""
    name: str = "crawl"
    """WARC files are called `NAME-00000.warc.gz`."""

    def __post_init__(self) -> None:
        if not self.seeds:
            raise ValueError("seeds: give at least one URL")
        for name, least in (("limit", 1), ("concurrency", 1), ("max_bytes", 1), ("per_warc", 1), ("delay", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: must be at least {least}, got {getattr(self, name)}")
        if self.timeout <= 0:
            raise ValueError(f"timeout: must be more than 0, got {self.timeout:g}")
        if self.max_depth is not None and self.max_depth < 0:
            raise ValueError(f"max_depth: must be at least 0, got {self.max_depth}")
        if not product_token(self.user_agent).strip("*") or not self.user_agent.isprintable():
            raise ValueError(f"user_agent: must start with a word that robots.txt can name, got {self.user_agent!r}")
        if not re.fullmatch(r"[A-Za-z0-9._-]+", self.name):
            raise ValueError(f"name: must be letters, digits, '.', '_' and '-', got {self.name!r}")
        for text in self.connect_to:
            _endpoints(text)
        self.fixed_date()

    def fixed_date(self) -> datetime.datetime | None:
        """`date` as a time in UTC."""
        if self.date is None:
            return None
        try:
            return datetime.datetime.strptime(self.date, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.UTC)
        except ValueError:
            raise ValueError(f"date: must look like 2026-01-31T00:00:00Z, got {self.date!r}") from None

    def seed_urls(self) -> list[Url]:
        """The seeds, parsed.

        Raises:
            ConfigError: one is no http(s) URL.
        """
        parsed = [(seed, parse_url(seed)) for seed in self.seeds]
        for seed, url in parsed:
            if url is None:
                whole = "://" not in seed and parse_url(f"http://{seed}")
                hint = f"write it as http://{seed}" if whole else None
                raise ConfigError("--seed", f"is no http or https URL: {seed!r}", hint=hint)
        return list({url.text: url for _, url in parsed if url}.values())

    def private_hosts(self) -> frozenset[str]:
        """The hosts that may have a private address."""
        return frozenset(url.host for url in self.seed_urls() if self.allow_private or _is_private_name(url.host))

    def endpoints(self) -> dict[Endpoint, Endpoint]:
        """`connect_to`, parsed."""
        return dict(_endpoints(text) for text in self.connect_to)

    def fixed(self) -> dict[str, Any]:
        """The settings that a crawl cannot change on its way, as JSON has them."""
        tree = {key: value for key, value in dataclasses.asdict(self).items() if key not in UNFIXED}
        return {**tree, "seeds": [url.text for url in self.seed_urls()]}


@dataclass(frozen=True, kw_only=True, slots=True)
class CrawlSummary:
    """What came of a crawl."""

    requested: int = 0
    """Requests for pages."""
    stored: int = 0
    """Responses in the WARC files, redirects and errors of the server among them."""
    bytes: int = 0
    """Their bodies, decoded."""
    truncated: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    """Responses by HTTP status."""
    refused: dict[str, int] = field(default_factory=dict)
    """URLs that robots.txt or a host that stopped answering kept us from, by cause."""
    failed: dict[str, int] = field(default_factory=dict)
    """Requests without a response, by cause."""
    ignored: dict[str, int] = field(default_factory=dict)
    """References that were not followed, by cause."""
    warcs: tuple[str, ...] = ()
    """Names of the files, in order."""


def _is_private_name(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return True


def _endpoints(text: str) -> tuple[Endpoint, Endpoint]:
    """`HOST:PORT:ADDRESS:PORT`; an IPv6 address stands in square brackets."""
    match = re.fullmatch(r"(\[[^]]+\]|[^:\[\]]+):(\d{1,5}):(\[[^]]+\]|[^:\[\]]+):(\d{1,5})", text)
    url = parse_url(f"http://{match[1]}:{match[2]}/") if match else None
    if match is None or url is None or int(match[4]) > 65535:
        raise ValueError(f"connect_to: must be HOST:PORT:ADDRESS:PORT, got {text!r}")
    return (url.host, url.port), (match[3].strip("[]"), int(match[4]))
