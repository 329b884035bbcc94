"""Serve the demo's sites on loopback: `python infra/demo/web_server.py --port 8000`.

Several hosts share one port and are told apart by the Host header. A browser that asks for `localhost` gets the
documentation. Answers carry no date and no version, so that a crawl of them is the same each time.
"""

import argparse
import gzip
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import stdlib_docs
import written_pages
from web_page import DOCS_HOST, Page

NOT_FOUND = Page(host="", path="", body=b"<html><body><h1>Not found</h1></body></html>", status=404)
PACKED = ("text/", "application/json")


class Sites(ThreadingHTTPServer):
    """All pages by host and path."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.pages = {(page.host, page.path): page for page in (*stdlib_docs.pages(), *written_pages.pages())}
        self.hosts = {host for host, _ in self.pages}

    def find(self, host: str, path: str) -> Page:
        """The page at an address; a path that is not there gives a 404."""
        return self.pages.get((host if host in self.hosts else DOCS_HOST, path), NOT_FOUND)


class Handler(BaseHTTPRequestHandler):
    """Answers GET."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: two would wait for each other's acknowledgement, 40 ms a page
    server: Sites

    def do_GET(self) -> None:
        page = self.server.find(self.headers.get("Host", "").partition(":")[0], self.path.partition("?")[0])
        body, packed = page.body, page.content_type.startswith(PACKED) and len(page.body) > 500
        if packed and "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, mtime=0)
        self.send_response_only(page.status, HTTPStatus(page.status).phrase)
        self.send_header("Content-Type", page.content_type)
        if body is not page.body:
            self.send_header("Content-Encoding", "gzip")
        for name, value in page.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing about each request."""


def main() -> None:
    """Serve until interrupted; the first line of output is the port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="default: any free port")
    with Sites(parser.parse_args().port) as server:
        print(server.server_address[1], flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
