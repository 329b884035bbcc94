"""A URL in parts, as block lists name them: host, domains above it, segments of its path, words."""

import re
import urllib.parse
from collections.abc import Iterator

MAX_LABELS = 32
"""Labels of a host that are looked at, from its end; a real one has at most 127 and hardly ever more than 6."""
MAX_HOST = 253
"""Characters of a name in DNS (RFC 1035); a longer one is not translated."""
MAX_SEGMENTS = 16
"""Segments of a path that are looked up in the list of URLs."""

_SCHEME = re.compile(r"https?:[/\\]*|[a-z][a-z0-9+.-]*://|//")
_HOST_END = re.compile(r"[/?#\\]")
_NOT_WORD = re.compile(r"[^a-z0-9]+")
_TO_SPACE = str.maketrans({chr(code): " " for code in range(128) if not chr(code).isalnum()})


def url_words(text: str) -> list[str]:
    """The runs of ASCII letters and digits in a lower-case text."""
    return text.translate(_TO_SPACE).split() if text.isascii() else _NOT_WORD.sub(" ", text).split()


def split_url(url: str) -> tuple[str, str]:
    """Host and path of a lower-case URL; without user, port, query and fragment, the host as DNS knows it.

    >>> split_url("http://me:pw@www.köln.example.:8080/a/b?c#d")
    ('www.xn--kln-sna.example', '/a/b')
    """
    scheme = _SCHEME.match(url)
    rest = url[scheme.end() :] if scheme else url
    end = _HOST_END.search(rest)
    authority, path = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    host = authority.rpartition("@")[2]
    ipv6 = host.startswith("[")
    host = host[1:].partition("]")[0] if ipv6 else host.partition(":")[0]
    host = urllib.parse.unquote(host) if "%" in host else host
    if not host.isascii() and len(host) <= MAX_HOST:
        host = _punycode(host)
    return host.strip("."), re.split(r"[?#]", path, maxsplit=1)[0].replace("\\", "/")


def parent_domains(host: str) -> Iterator[str]:
    """The host and every domain above it, the host first."""
    if host.count(".") >= MAX_LABELS:
        host = ".".join(host.rsplit(".", MAX_LABELS)[1:])
    while host:
        yield host
        host = host.partition(".")[2]


def path_prefixes(host: str, path: str) -> Iterator[str]:
    """The first segment of the path behind the host without `www.`, then one segment more each time."""
    address = host.removeprefix("www.")
    for segment in path.split("/", MAX_SEGMENTS + 1)[:MAX_SEGMENTS]:
        if segment:
            address = f"{address}/{segment}"
            yield address


def _punycode(host: str) -> str:
    import idna

    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):  # no name DNS could hold: it is in no list either
        return host
