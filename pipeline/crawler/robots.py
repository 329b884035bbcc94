"""The Robots Exclusion Protocol, RFC 9309, with the common Crawl-delay line.

The standard library's parser takes the first rule that matches and knows no wildcards; the RFC asks for the longest
match, `*` and `$`.
"""

import re
from dataclasses import dataclass

from pipeline.crawler.url import escaped

MAX_BYTES = 512_000
"""A robots.txt is read this far (RFC 9309, section 2.5, asks for at least 500 KiB)."""
_LINE = re.compile(r"\s*([A-Za-z-]+)\s*:\s*(.*)")


@dataclass(frozen=True, slots=True)
class Rule:
    """One Allow or Disallow line: its path pattern, with escapes in their one form."""

    allow: bool
    pattern: str


@dataclass(frozen=True, slots=True)
class Robots:
    """What one site asks of one crawler."""

    rules: tuple[Rule, ...] = ()
    crawl_delay: float | None = None
    """Seconds between requests."""
    unreachable: bool = False
    """Nothing is known, so nothing may be fetched (section 2.3.1.4)."""

    def allows(self, target: str) -> bool:
        """Whether a path with its query may be fetched: the longest matching rule decides, Allow wins a tie."""
        if target == "/robots.txt":
            return True
        if self.unreachable:
            return False
        found = [(len(rule.pattern), rule.allow) for rule in self.rules if matches(rule.pattern, target)]
        return max(found)[1] if found else True


UNREACHABLE = Robots(unreachable=True)
UNAVAILABLE = Robots()
"""There is no robots.txt (4xx): everything may be fetched (section 2.3.1.3)."""


def parse_robots(body: bytes, user_agent: str) -> Robots:
    """The rules of the groups that name this crawler, else those of `*`.

    Args:
        body: the file; bytes that are no UTF-8 and lines that are no rule are passed over.
        user_agent: the crawler's User-Agent header; its first word, without a version, is what groups name.
    """
    token = product_token(user_agent)
    groups: dict[str, tuple[list[Rule], list[float]]] = {}
    agents: list[str] = []
    in_rules = False
    for line in body[:MAX_BYTES].decode("utf-8-sig", "replace").replace("\r", "\n").split("\n"):
        match = _LINE.match(line.partition("#")[0])
        if match is None:
            continue
        key, value = match[1].lower(), match[2].strip()
        if key == "user-agent":
            agents = [*([] if in_rules else agents), product_token(value)]
            in_rules = False
            groups.setdefault(agents[-1], ([], []))
        elif key in {"allow", "disallow", "crawl-delay"}:
            in_rules = True
            for agent in agents:
                _add(groups[agent], key, value)
    rules, delays = groups.get(token) or groups.get("*") or ([], [])
    return Robots(tuple(dict.fromkeys(rules)), max(delays, default=None))


def product_token(user_agent: str) -> str:
    """`tokenmill` of `Tokenmill/1.0 (+https://...)`: letters, `-` and `_` (section 2.2.1), or `*`."""
    found = re.match(r"[A-Za-z_-]+|\*", user_agent.strip())
    return found[0].lower() if found else ""


def _add(group: tuple[list[Rule], list[float]], key: str, value: str) -> None:
    rules, delays = group
    if key == "crawl-delay":
        if re.fullmatch(r"\d{1,9}(\.\d*)?", value):
            delays.append(float(value))
    elif value:  # an empty Disallow forbids nothing
        rules.append(Rule(key == "allow", escaped(value)))


def matches(pattern: str, target: str) -> bool:
    """Whether a path pattern matches: `*` is any run of characters, a `$` at the end is the end (section 2.2.3).

    Each part is looked for once, leftmost first, which suffices for `*` and keeps hostile patterns cheap.
    """
    anchored = pattern.endswith("$")
    first, *rest = pattern.removesuffix("$").split("*")
    if anchored and not rest:
        return target == first
    if not target.startswith(first):
        return False
    position = len(first)
    for part in rest[:-1] if anchored else rest:
        found = target.find(part, position)
        if found < 0:
            return False
        position = found + len(part)
    return not anchored or (target.endswith(rest[-1]) and len(target) - len(rest[-1]) >= position)
