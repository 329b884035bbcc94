"""A web server on loopback that answers with exactly the bytes it is told to."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

Answer = bytes | Callable[[socket.socket], None]


def http_answer(body: bytes | str = b"", status: str = "200 OK", **headers: str) -> bytes:
    """A whole HTTP/1.1 response; `Content_Type="..."` becomes a header; HTML and the right length unless told."""
    raw = body.encode() if isinstance(body, str) else body
    fields = {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(raw))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + raw


@dataclass
class Web:
    """Answers by path; every path not set is a 404."""

    port: int
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[bytes] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        """The paths asked for so far, in order."""
        return [request.split(b" ")[1].decode() for request in self.requests]

    def page(self, path: str, *links: str) -> None:
        """Set an HTML page with links."""
        self.answers[path] = http_answer("<html><body>" + "".join(f'<a href="{link}">x</a>' for link in links))

    def answer(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(30)
            request = b""
            while b"\r\n\r\n" not in request and (piece := connection.recv(65536)):
                request += piece
            if not request:
                return
            self.times.append(time.monotonic())
            self.requests.append(request)
            answer = self.answers.get(request.split(b" ")[1].decode(), http_answer("gone", "404 Not Found"))
            try:
                connection.sendall(answer) if isinstance(answer, bytes) else answer(connection)
            except OSError:
                return  # the crawler hung up, as it should


@pytest.fixture
def web() -> Iterator[Web]:
    """A running server; its threads end with the test."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        site = Web(listener.getsockname()[1])

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=site.answer, args=(connection,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield site
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def answer() -> Callable[..., bytes]:
    """Builds a response: `answer(body, "404 Not Found", Content_Type="text/plain")`."""
    return http_answer
