"""URLs as a crawler needs them: one spelling for each page, and the links of a page."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from resiliparse.parse.encoding import detect_encoding
from resiliparse.parse.html import HTMLTree

from pipeline.sources.charset import codec_name
from pipeline.sources.screen import storable

MAX_LENGTH = 2048
"""Longer URLs are not followed; they come from traps and broken templates."""
DEFAULT_PORTS = {"http": 80, "https": 443}
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_SAFE = "!$&'()*+,;=:@/?%[]"  # square brackets are not allowed, yet every browser sends them as they are
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")


@dataclass(frozen=True, slots=True)
class Url:
    """A URL in its one spelling, taken apart."""

    text: str
    scheme: str
    host: str
    port: int
    target: str
    """Path and query: what stands in the request line."""

    @property
    def origin(self) -> str:
        """Scheme, host and port: what one robots.txt speaks for."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """The Host header: the port is named unless it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def site(self) -> str:
        """What "same host" compares: http and https on their own ports are one site, any other port is another."""
        return self.authority


@dataclass(frozen=True, slots=True)
class Links:
    """What a page refers to: URLs in the order met, each once, and how many references were no usable URL."""

    urls: tuple[Url, ...]
    unusable: int


def parse_url(text: str, base: str | None = None, charset: str = "utf-8") -> Url | None:
    """The one spelling of a URL that a page or a user wrote, or None for anything but a plain http(s) URL.

    Lower case scheme and host, internationalized host in ASCII, no default port, no fragment, no dot segments; in
    path and query escapes in upper case and none where none is needed (RFC 3986, section 6.2.2). Non-ASCII characters
    become UTF-8 in the path and `charset`, the page's own, in the query, as browsers do (URL Standard, section 4.5).
    A URL that carries a user name or password is refused.
    """
    text = text.strip("".join(map(chr, range(33)))).translate({9: None, 10: None, 13: None})
    try:
        parts = urlsplit(urljoin(base, text) if base else text)
        scheme, host, port = parts.scheme.lower(), _ascii_host(parts.hostname or ""), parts.port
    except ValueError:  # a broken IPv6 literal, a port that is no number
        return None
    if scheme not in DEFAULT_PORTS or "@" in parts.netloc or port == 0 or not host:
        return None
    path = _without_dots(escaped(parts.path.replace("\\", "/")))
    query = escaped(parts.query, charset)
    made = Url("", scheme, host, port or DEFAULT_PORTS[scheme], f"{path}?{query}" if query else path)
    text = made.origin + made.target
    return Url(text, scheme, host, made.port, made.target) if len(text) <= MAX_LENGTH else None


def find_links(body: bytes, url: str, charset: str | None) -> Links:
    """The links of an HTML page, to `<base>` if it has one; none where the page asks robots not to follow.

    A link marked `rel=nofollow` is left out.
    """
    charset = charset or detect_encoding(body, from_html_meta=True) or "utf-8"
    tree = HTMLTree.parse_from_bytes(body, charset)
    base, found, unusable = url, dict[str, Url](), 0
    if tree.document is None:
        return Links((), 0)
    for node in tree.document.query_selector_all(
        "base[href], meta[name], a[href], area[href], frame[src], iframe[src]"
    ):
        if node.tag == "meta":
            if (node.getattr("name") or "").lower() == "robots" and refuses_following(node.getattr("content") or ""):
                return Links((), 0)
            continue
        reference = node.getattr("src" if node.tag in {"frame", "iframe"} else "href") or ""
        if node.tag == "base":
            parsed = parse_url(reference, url)
            base = parsed.text if parsed and base == url else base
            continue
        if "nofollow" in (node.getattr("rel") or "").lower().split() or reference.lstrip().startswith("#"):
            continue
        parsed = parse_url(reference, base, _python_charset(charset))
        if parsed is None:
            unusable += 1
        else:
            found.setdefault(parsed.text, parsed)
    return Links(tuple(found.values()), unusable)


def refuses_following(directives: str) -> bool:
    """Whether a robots meta tag or X-Robots-Tag header asks that links are not followed."""
    return not {"nofollow", "none"}.isdisjoint(part.strip() for part in directives.lower().split(","))


def _python_charset(charset: str) -> str:
    """The codec of a page's queries: UTF-8 where its charset is unknown, no charset of texts (idna), or UTF-16."""
    name = codec_name(charset) or "utf-8"
    return "utf-8" if name.startswith(("utf-16", "utf-32")) else name


def _ascii_host(host: str) -> str | None:
    """A host name in ASCII and lower case, or an IP address in its shortest form; None if it is neither."""
    try:
        return ipaddress.ip_address(host).compressed
    except ValueError:
        pass  # a name
    try:
        host = host.rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None
    return host if _HOST.fullmatch(host) and len(host) <= 253 else None


def escaped(text: str, charset: str = "utf-8") -> str:
    """A path or query with percent-escapes in their one form, and everything escaped that has to be."""

    def normalize_escape(match: re.Match[str]) -> str:
        if match[1] is None:
            return "%25"
        character = chr(int(match[1], 16))
        return character if character in _UNRESERVED else f"%{match[1].upper()}"

    try:
        raw = text.encode(charset)
    except (UnicodeError, LookupError):
        raw = storable(text).encode("utf-8")  # "replace" would write a lone surrogate as "?", which begins a query
    return quote(_ESCAPE.sub(normalize_escape, raw.decode("latin-1")).encode("latin-1"), safe=_SAFE)


def _without_dots(path: str) -> str:
    """Remove `.` and `..` segments (RFC 3986, section 5.2.4); an empty path is `/`."""
    kept: list[str] = []
    segments = path.split("/")[1:] or [""]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)
