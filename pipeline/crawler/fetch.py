"""One HTTP request, within a time, a size and a circle of addresses, and the answer as Common Crawl would store it."""

import contextlib
import datetime
import functools
import http.client
import io
import ipaddress
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pipeline.crawler.url import Url

Truncation = Literal["length", "time", "disconnect"]
"""The words of WARC-Truncated."""
Endpoint = tuple[str, int]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)
_CHUNK = 8192
_SIX_TO_FOUR, _NAT64 = ipaddress.IPv6Network("2002::/16"), ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """What a server sent. The body is stored without transfer and content encoding; the head says what was changed."""

    address: str
    """The IP address that answered."""
    request: bytes
    head: bytes
    """Status line and headers with the empty line that ends them, for the body as it is here."""
    body: bytes
    status: int
    headers: tuple[tuple[str, str], ...]
    """As received, in order, Latin-1."""
    truncated: Truncation | None = None
    date: datetime.datetime = EPOCH
    """When it was asked for, UTC."""
    seconds: float = 0.0

    def header(self, name: str) -> str | None:
        """The first header called `name`, in any case."""
        return next((value.strip() for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no response."""

    cause: Literal["dns", "private_address", "connect", "tls", "timeout", "malformed"]
    detail: str


@dataclass(frozen=True, kw_only=True)
class Fetcher:
    """Fetches single URLs; knows no robots.txt and keeps no order. Safe to call from several threads."""

    user_agent: str
    timeout: float
    """Seconds for the whole exchange, from connecting to the last byte."""
    max_bytes: int
    """A body ends here, decoded or not."""
    private_hosts: frozenset[str] = frozenset()
    """Hosts that may have an address outside the public internet."""
    connect_to: Mapping[Endpoint, Endpoint] = field(default_factory=dict)
    """Where to connect for a host and port, in place of asking DNS."""
    _pinned: dict[Endpoint, tuple[Endpoint, ...] | Failure] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __call__(self, url: Url, max_bytes: int | None = None) -> Response | Failure:
        """One request; `max_bytes` in place of this fetcher's own."""
        endpoints = self.endpoints(url)
        if isinstance(endpoints, Failure):
            return endpoints
        return self._exchange(url, endpoints, max_bytes or self.max_bytes)

    @functools.cached_property
    def _tls(self) -> ssl.SSLContext:
        """Trusts what the machine trusts, or `SSL_CERT_FILE`."""
        return ssl.create_default_context()

    def endpoints(self, url: Url) -> tuple[Endpoint, ...] | Failure:
        """Where to connect, asked for once and then kept, so that a name cannot move to another machine."""
        key = url.host, url.port
        with self._lock:
            known = self._pinned.get(key)
        if known is None:
            given = self.connect_to.get(key)
            known = (given,) if given else resolve(url, url.host in self.private_hosts)
        with self._lock:
            return self._pinned.setdefault(key, known)

    def _exchange(self, url: Url, endpoints: tuple[Endpoint, ...], max_bytes: int) -> Response | Failure:
        date, started = datetime.datetime.now(datetime.UTC), time.monotonic()
        request = request_bytes(url, self.user_agent)
        try:
            with contextlib.closing(self._connect(url, endpoints, started + self.timeout)) as sock:
                address = str(sock.getpeername()[0])
                stream = _Stream(sock, started + self.timeout)
                stream.send(request)
                response = receive(stream, max_bytes)
        except TimeoutError as error:
            return Failure("timeout", str(error) or f"no answer in {self.timeout:g} s")
        except ssl.SSLError as error:
            return Failure("tls", str(error))
        except http.client.HTTPException as error:
            return Failure("malformed", f"{type(error).__name__}: {error}")
        except OSError as error:
            return Failure("connect", str(error))
        return replace(response, address=address, request=request, date=date, seconds=time.monotonic() - started)

    def _connect(self, url: Url, endpoints: tuple[Endpoint, ...], deadline: float) -> socket.socket:
        """A connection to the first endpoint that takes one; with TLS and its certificate checked for https."""
        for endpoint in endpoints:
            try:
                sock = socket.create_connection(endpoint, max(deadline - time.monotonic(), 0.001))
            except OSError:
                if endpoint is endpoints[-1]:
                    raise
                continue
            try:
                return self._tls.wrap_socket(sock, server_hostname=url.host) if url.scheme == "https" else sock
            except BaseException:
                sock.close()
                raise
        raise AssertionError("a host has at least one address")


def resolve(url: Url, private: bool) -> tuple[Endpoint, ...] | Failure:
    """The addresses DNS gives for a host, private ones only where `private` allows them."""
    try:
        found = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return Failure("dns", str(error))
    addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
    allowed = tuple((address, url.port) for address in addresses if private or is_public(address))
    return allowed or Failure("private_address", f"{url.host} is {', '.join(addresses)}, not on the public internet")


def is_public(text: str) -> bool:
    """Whether an address is one of the public internet, seen through IPv4 wrapped in IPv6."""
    address: Address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        wrapped = address.ipv4_mapped or (address.sixtofour if address in _SIX_TO_FOUR else None)
        if address in _NAT64:
            wrapped = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        address = wrapped or address
    return address.is_global and not address.is_multicast


def request_bytes(url: Url, user_agent: str) -> bytes:
    """The request, as it is sent and as it is stored."""
    lines = [
        f"GET {url.target} HTTP/1.1",
        f"User-Agent: {user_agent}",
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "Accept-Language: en-US,en;q=0.5",
        "Accept-Encoding: gzip",
        f"Host: {url.authority}",
        "Connection: close",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


class _Stream(io.RawIOBase):
    """A socket to read from until a deadline, however slowly it drips; what `http.client` takes for a socket."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        super().__init__()
        self.sock, self.deadline = sock, deadline

    def readable(self) -> bool:
        return True

    def _arm(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.sock.settimeout(left)

    def readinto(self, buffer: Any) -> int:
        self._arm()
        return self.sock.recv_into(buffer)

    def send(self, data: bytes) -> None:
        self._arm()
        self.sock.sendall(data)

    def makefile(self, mode: str) -> "_Head":
        assert mode == "rb"
        return _Head(self, _CHUNK)


class _Head(io.BufferedReader):
    """Keeps the lines of the head as they come over the wire."""

    lines: list[bytes] | None

    def __init__(self, raw: io.RawIOBase, size: int) -> None:
        super().__init__(raw, size)
        self.lines = []

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if self.lines is not None:
            self.lines.append(line)
        return line


def receive(stream: _Stream, max_bytes: int) -> Response:
    """Read one response; a body that ends too early or too late is cut and says so.

    Raises:
        OSError, http.client.HTTPException: there is no head to make sense of.
    """
    response = http.client.HTTPResponse(stream, method="GET")  # type: ignore[arg-type]
    head = response.fp
    assert isinstance(head, _Head)
    response.begin()
    lines, head.lines = _last_head(head.lines or []), None
    raw, truncated = _read(response, max_bytes)
    encoding = (response.getheader("Content-Encoding") or "").strip().lower()
    body, overlong = _decoded(raw, max_bytes) if encoding in {"gzip", "x-gzip"} else (None, False)
    decoded = body is not None
    body = raw if body is None else body
    return Response(
        address="",
        request=b"",
        head=stored_head(lines, len(body), decoded=decoded),
        body=body,
        status=response.status,
        headers=tuple(response.getheaders()),
        truncated=truncated or ("length" if overlong else None),
    )


def _read(response: http.client.HTTPResponse, max_bytes: int) -> tuple[bytes, Truncation | None]:
    body = bytearray()
    truncated: Truncation | None = None
    try:
        while len(body) <= max_bytes and (piece := response.read(_CHUNK)):
            body += piece
        if response.length and len(body) <= max_bytes:  # what Content-Length still promises
            truncated = "disconnect"
    except TimeoutError:
        truncated = "time"
    except (http.client.HTTPException, OSError) as error:
        body += error.partial if isinstance(error, http.client.IncompleteRead) else b""
        truncated = "disconnect"
    return bytes(body[:max_bytes]), "length" if len(body) > max_bytes else truncated


def _decoded(raw: bytes, max_bytes: int) -> tuple[bytes | None, bool]:
    """The gzipped body and whether it was longer than `max_bytes`; None if it is no gzip after all."""
    body = b""
    try:
        while raw and len(body) <= max_bytes:
            member = zlib.decompressobj(wbits=31)
            body += member.decompress(raw, max_bytes + 1 - len(body))
            raw = member.unused_data
    except zlib.error:
        if not body:
            return None, False
    return body[:max_bytes], len(body) > max_bytes


def _last_head(lines: list[bytes]) -> list[bytes]:
    """The lines of the final head, after those of `100 Continue`; without the empty line at its end."""
    while lines and lines[-1] in {b"\r\n", b"\n", b""}:
        lines = lines[:-1]
    starts = [index for index, line in enumerate(lines) if index == 0 or lines[index - 1] in {b"\r\n", b"\n"}]
    return lines[starts[-1] :]


def stored_head(lines: list[bytes], length: int, *, decoded: bool) -> bytes:
    """The head for a body of `length` bytes without encodings.

    As in Common Crawl's files, a header that no longer holds keeps its place and value under `X-Crawler-...`, and a
    Content-Length that does hold is added at the end.
    """
    dropped_headers = {b"transfer-encoding", *([b"content-encoding"] if decoded else [])}
    kept, exact = [lines[0].rstrip(b"\r\n")], False
    for line in (line.rstrip(b"\r\n") for line in lines[1:]):
        name, _, value = line.partition(b":")
        key = name.strip().lower()
        exact = exact or (key == b"content-length" and value.strip() == str(length).encode())
        stale = key in dropped_headers or (key == b"content-length" and value.strip() != str(length).encode())
        kept.append(b"X-Crawler-" + line if stale else line)
    if not exact:
        kept.append(b"Content-Length: " + str(length).encode())
    return b"\r\n".join(kept) + b"\r\n\r\n"
