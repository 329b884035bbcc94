"""The server: GET and HEAD of a few pages, one request a connection, bounded in time, number and size.

Nothing of a request names a file, and nothing is written. A request that fails is a page with its status; what went
wrong inside is told on this machine's stderr alone.
"""

import http.server
import socket
import socketserver
import sys
import threading
import time
import traceback
import urllib.parse
from http import HTTPStatus
from pathlib import Path
from typing import Any

from pipeline.contract.errors import InputError, UserError
from pipeline.explore.access import AccessPolicy
from pipeline.explore.folder import Folder
from pipeline.explore.pages import PAGES, link
from pipeline.explore.render import render, render_error
from pipeline.explore.request import PageError, RequestParameters
from pipeline.report.printable import printable

LONGEST_TARGET = 8192
"""Characters of a request's path and query."""
READ_SECONDS = 10.0
"""To send a request whole; slower ones are cut off."""
WRITE_SECONDS = 20.0
MAX_CONNECTIONS = 64
MAX_AT_WORK = 4
"""Requests that look at tables at a time; others wait."""
WAIT_SECONDS = 10.0
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Explorer(http.server.ThreadingHTTPServer):
    """The server of one run folder; `serve_forever()` runs it.

    Args:
        out: the run folder.
        host: to bind to.
        port: to bind to; 0 takes a free one.
        token: that requests must bring; None: none is needed.

    Raises:
        InputError: `out` is no run folder.
        UserError: the address cannot be bound.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, out: Path, *, host: str, port: int, token: str | None) -> None:
        self.folder = Folder(out)
        self.folder.record()
        self.run_name = out.resolve().name
        self.work = threading.BoundedSemaphore(MAX_AT_WORK)
        self._reading: dict[Any, float] = {}
        self._open: set[Any] = set()
        self._lock = threading.Lock()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            raise UserError(f"--host {host} --port {port}", f"cannot be bound: {error}") from error
        self.access = AccessPolicy.for_server(host, self.server_port, token)

    def server_bind(self) -> None:
        """Bind without asking the network for this machine's full name, as http.server would."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - of the base class
        """Whether there is room for another connection."""
        with self._lock:
            if len(self._open) >= MAX_CONNECTIONS:
                return False
            self._open.add(request)
            self._reading[request] = time.monotonic() + READ_SECONDS
        return True

    def has_read(self, request: Any) -> None:
        """The request came whole."""
        with self._lock:
            self._reading.pop(request, None)

    def shutdown_request(self, request: Any) -> None:
        """The connection ends."""
        with self._lock:
            self._open.discard(request)
            self._reading.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Cut off connections that are too slow to ask; called every half second."""
        now = time.monotonic()
        with self._lock:
            late = [request for request, end in self._reading.items() if end < now]
        for request in late:
            self.has_read(request)
            try:
                request.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it has gone by itself

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - of the base class
        """Say what went wrong here; a reader who went away is no error."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            print(printable_lines(traceback.format_exc()), file=sys.stderr)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Explorer
    timeout = WRITE_SECONDS
    server_version, sys_version = "tokenmill", ""

    def do_GET(self) -> None:
        """A page."""
        self.server.has_read(self.request)
        try:
            self._answer()
        except PageError as error:
            self._send_error(error)
        except InputError as error:
            print(printable_lines(str(error)), file=sys.stderr)
            self._send_error(
                PageError(503, "the run folder cannot be read just now; the terminal of the explorer says why")
            )
        except (ConnectionError, TimeoutError):
            raise
        except Exception:  # noqa: BLE001 - told on stderr; the client learns that it failed
            print(printable_lines(traceback.format_exc()), file=sys.stderr)
            self._send_error(PageError(500, "this page failed; the terminal of the explorer says why"))

    do_HEAD = do_GET

    def _answer(self) -> None:
        self.server.access.check_host(self.headers)
        if len(self.path) > LONGEST_TARGET:
            raise PageError(414, f"the address is longer than {LONGEST_TARGET:,} characters")
        target = _target(self.path)
        params = RequestParameters.parse(target.query)
        if self.server.access.check_token(self.headers, params.values):
            self._move_token(target.path, params)
            return
        handler = PAGES.get(target.path)
        if handler is None:
            raise PageError(404, "there is no such page", list(PAGES))
        if params.text("again") and self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise PageError(403, "another site cannot have pages read again; open the link from this one")
        if not self.server.work.acquire(timeout=WAIT_SECONDS):
            raise PageError(503, "too many pages are being made just now; try again")
        try:
            template, values = handler(self.server.folder, params)
            body = render(template, values, run=self.server.run_name, here=target.path)
        finally:
            self.server.work.release()
        self._send(200, body)

    def _move_token(self, path: str, params: RequestParameters) -> None:
        """The token goes from the address, which is seen and kept in histories, into a cookie."""
        rest = {name: value for name, value in params.values.items() if name != "token"}
        where = link(path if path in PAGES else "/", **rest)
        cookie = f"{self.server.access.cookie}={self.server.access.token}; Path=/; HttpOnly; SameSite=Strict"
        self._send(303, b"", {"Location": where, "Set-Cookie": cookie})

    def _send_error(self, error: PageError) -> None:
        body = render_error(error.status, str(error), error.known, run=self.server.run_name)
        self._send(error.status, body)

    def _send(self, status: int, body: bytes, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, **(more or {}), "Content-Length": str(len(body)), "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """The base class's errors (a method other than GET, a request it cannot parse), as pages like ours."""
        self.server.has_read(self.request)
        self.command = getattr(self, "command", None) or "GET"
        status = 405 if code == 501 else code
        del message, explain  # they repeat what the client sent
        body = render_error(
            status, HTTPStatus(status).description or HTTPStatus(status).phrase, (), run=self.server.run_name
        )
        self._send(status, body, {"Allow": "GET, HEAD"} if status == 405 else None)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: addresses may hold the token, and the terminal is for what went wrong."""


def _target(path: str) -> urllib.parse.SplitResult:
    try:
        return urllib.parse.urlsplit("http://here" + path if path.startswith("/") else "")
    except ValueError as error:
        raise PageError(400, "the address cannot be read") from error


def printable_lines(text: str) -> str:
    """Lines that may go to a terminal."""
    return "\n".join(map(printable, text.splitlines()))
