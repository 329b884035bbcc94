"""Who may ask: the Host header against DNS rebinding, and a token where the server is not this machine's alone."""

import dataclasses
import hmac
import http.cookies
import ipaddress
import socket
from collections.abc import Mapping
from typing import Protocol

from pipeline.explore.request import PageError

LONGEST_HOST = 300


class Headers(Protocol):
    """Of a request."""

    def get_all(self, name: str) -> list[str] | None:
        """Every header of this name."""


@dataclasses.dataclass(frozen=True, slots=True)
class AccessPolicy:
    """What a request must show."""

    names: frozenset[str]
    """Host names the server answers to, lower case. A page of a stranger that had its own name resolved to this
    machine (DNS rebinding) sends that name."""
    addresses: bool
    """Whether any IP address will do as well: rebinding needs a name."""
    token: str | None
    cookie: str

    @classmethod
    def for_server(cls, host: str, port: int, token: str | None) -> "AccessPolicy":
        """For a server bound to `host`."""
        local = is_loopback(host)
        own = set() if local else {socket.gethostname().lower(), host.lower()}
        return cls(frozenset({"localhost", "127.0.0.1", "::1"} | own), not local, token, f"tokenmill_explore_{port}")

    def check_host(self, headers: Headers) -> None:
        """Raises PageError 421 for a Host header that is not ours."""
        hosts = headers.get_all("Host") or []
        if len(hosts) != 1 or len(hosts[0]) > LONGEST_HOST:
            raise PageError(400, "a request needs exactly one Host header")
        name = _name(hosts[0])
        if name not in self.names and not (self.addresses and _is_address(name)):
            raise PageError(421, "this server does not answer to that host name", sorted(self.names))

    def check_token(self, headers: Headers, values: Mapping[str, str]) -> bool:
        """Whether the token came with the address (and should move into a cookie).

        Raises:
            PageError: 403: there is no token, or a wrong one.
        """
        if self.token is None:
            return False
        if self._same(values.get("token", "")):
            return True
        if not any(self._same(value) for value in self._cookies(headers)):
            raise PageError(403, "open the address that the command printed: it has the token that is needed here")
        return False

    def _same(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), str(self.token).encode())

    def _cookies(self, headers: Headers) -> list[str]:
        found = []
        for header in (headers.get_all("Cookie") or [])[:4]:
            try:
                jar = http.cookies.SimpleCookie(header[:4096])
            except http.cookies.CookieError:
                continue  # a broken cookie is no token: the request is refused below
            found += [jar[self.cookie].value] if self.cookie in jar else []
        return found


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _name(host: str) -> str:
    """The host without its port, in lower case."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
