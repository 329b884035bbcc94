"""Reading over http from a server that fails in every way it can."""

import gzip
import random
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipeline.contract.errors import InputError
from pipeline.sources import read_at, read_records
from pipeline.sources.record import Record
from pipeline.storage import remote
from pipeline.storage.files import exists, list_files, open_read, read_bytes, stat, write_atomic
from pipeline.storage.remote import FIRST_BLOCK, RemoteSettings

QUICK = RemoteSettings(attempts=5, first_wait=0.001, longest_wait=0.01, timeout=0.4, block_bytes=FIRST_BLOCK)
DATA = random.Random(1).randbytes(2_000_000)


class Handler(BaseHTTPRequestHandler):
    """Serves `server.files` by ranges; each request takes the next fault of `server.faults`, if any is left."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        span = self.headers.get("Range", "")
        self.server.requests.append(span)
        fault = self.server.faults.pop(0) if self.server.faults else None
        body = self.server.files.get(self.path)
        if isinstance(fault, int) or body is None:
            return self._send(fault or 404, b"failed", {})
        if fault == "stall":
            time.sleep(1)
        etag = {"ETag": "other" if fault == "changed" else f'"{len(body)}"'}
        if not span or fault == "ignore":
            return self._send(200, body, etag, cut=fault == "cut")
        first, last = (int(word) for word in span.removeprefix("bytes=").split("-"))
        if first >= len(body):
            return self._send(416, b"", {"Content-Range": f"bytes */{len(body)}"})
        shift = 7 if fault == "shifted" else 0
        part = body[first + shift : last + 1 + shift]
        ranged = {"Content-Range": f"bytes {first + shift}-{first + shift + len(part) - 1}/{len(body)}", **etag}
        return self._send(206, part, ranged, cut=fault == "cut", short=fault == "short")

    def _send(
        self, status: int, body: bytes, headers: dict[str, str], *, cut: bool = False, short: bool = False
    ) -> None:
        body = body[: len(body) // 2] if short else body
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    files: dict[str, bytes]
    faults: list[int | str | None]
    requests: list[str]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        running.files, running.faults, running.requests = {"/x": DATA, "/empty": b""}, [], []
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


def url(server: Server, path: str = "/x") -> str:
    return f"http://127.0.0.1:{server.server_port}{path}"


def test_a_file_is_read_in_blocks_that_grow(server):
    with open_read(url(server), QUICK) as source:
        assert source.read(10) == DATA[:10]
        assert source.readall() == DATA[10:]
    assert server.requests[:2] == ["bytes=0-0", f"bytes=0-{FIRST_BLOCK - 1}"]
    wide = RemoteSettings(block_bytes=1 << 20)
    server.requests.clear()
    assert read_bytes(url(server), wide) == DATA
    assert [int(a.split("-")[1]) + 1 - int(a.split("=")[1].split("-")[0]) for a in server.requests[1:]] == [
        FIRST_BLOCK, 2 * FIRST_BLOCK, 4 * FIRST_BLOCK, 8 * FIRST_BLOCK, len(DATA) - 15 * FIRST_BLOCK,
    ]  # fmt: skip


def test_seeking_reads_only_what_is_asked(server):
    with open_read(url(server), QUICK) as source:
        source.seek(1_500_000)
        assert source.read(4) == DATA[1_500_000:1_500_004]
        source.seek(-4, 2)
        assert source.read() == DATA[-4:]
        assert (source.seek(5, 2), source.read()) == (len(DATA) + 5, b"")
    assert server.requests[1].startswith("bytes=1500000-") and len(server.requests) <= 3


def test_looking_back_over_a_block_costs_nothing(server):
    with open_read(url(server), QUICK) as source:
        for edge in (FIRST_BLOCK, 2 * FIRST_BLOCK, 3 * FIRST_BLOCK):
            source.seek(edge)
            source.read(10)
            source.seek(edge - 100)
            assert source.read(100) == DATA[edge - 100 : edge]
    starts = [span.partition("-")[0] for span in server.requests[1:]]
    assert len(starts) == len(set(starts))


@pytest.mark.parametrize("fault", [500, 502, 503, 429, 408, "cut", "stall", "short", "shifted"])
def test_a_passing_fault_does_not_show(server, fault):
    server.faults += [fault, None, fault, fault, None, None, fault]
    assert read_bytes(url(server), QUICK) == DATA


def test_a_broken_connection_goes_on_where_it_broke(server):
    server.faults += [None, "cut", "cut"]
    assert read_bytes(url(server), QUICK) == DATA
    assert server.requests[1:4] == [
        f"bytes={start}-{FIRST_BLOCK - 1}" for start in (0, FIRST_BLOCK // 2, FIRST_BLOCK * 3 // 4)
    ]


def test_progress_starts_the_count_of_attempts_again(server):
    server.faults += [None] + ["cut"] * 15
    assert read_bytes(url(server), QUICK) == DATA


def test_a_server_that_never_recovers_is_reported_once_the_attempts_are_used_up(server):
    server.faults += [None] + [503] * 50
    with pytest.raises(InputError) as error:
        read_bytes(url(server), QUICK)
    assert error.value.problem == "failed 5 times, at last with: HTTP 503 Service Unavailable"
    assert len(server.requests) == 1 + 5


def test_what_is_not_there_or_not_allowed_is_not_tried_again(server):
    for fault, problem in (
        (404, "does not exist"),
        (403, "access is refused: HTTP 403 Forbidden"),
        (410, "does not exist"),
    ):
        server.requests.clear()
        server.faults[:] = [fault]
        with pytest.raises(InputError) as error:
            read_bytes(url(server), QUICK)
        assert error.value.problem == problem and len(server.requests) == 1


def test_nobody_listening_is_reported():
    with pytest.raises(InputError, match=r"failed 2 times, at last with: .*refused"):
        read_bytes("http://127.0.0.1:9/x", RemoteSettings(attempts=2, first_wait=0))


def test_a_server_that_ignores_ranges_is_read_once(server):
    server.faults += ["ignore"] * 10
    with open_read(url(server), QUICK) as source:
        assert source.read(5) == DATA[:5]
        source.seek(1_999_990)
        assert source.read() == DATA[-10:]
    assert server.requests == ["bytes=0-0", f"bytes=0-{FIRST_BLOCK - 1}", ""]


def test_a_file_that_changes_while_it_is_read_is_refused(server):
    server.faults += [None, None, "changed"]
    with pytest.raises(InputError, match="the file changed while it was read"):
        read_bytes(url(server), QUICK)


def test_size_etag_existence(server):
    found = stat(url(server), QUICK)
    assert (found.bytes, found.etag) == (len(DATA), '"2000000"')
    assert stat(url(server, "/empty"), QUICK).bytes == 0 and read_bytes(url(server, "/empty"), QUICK) == b""
    assert exists(url(server), QUICK) and not exists(url(server, "/none"), QUICK)
    assert [item.bytes for item in list_files(url(server), QUICK)] == [len(DATA)]
    assert list_files(url(server, "/none"), QUICK) == []


def test_http_is_read_only(server):
    with pytest.raises(InputError, match="http addresses are read only"):
        write_atomic(url(server, "/new"), b"x", QUICK)


def warc(number: int, size: int) -> bytes:
    noise = random.Random(number).randbytes(size).hex().encode()
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>" + noise
    head = "WARC/1.0\r\nWARC-Type: response\r\n"
    head += f"WARC-Record-ID: <urn:uuid:r{number}>\r\nContent-Length: {len(block)}\r\n\r\n"
    return gzip.compress(head.encode() + block + b"\r\n\r\n", mtime=0)


def test_a_warc_file_over_a_bad_line_gives_the_records_of_a_good_one(server, tmp_path):
    """One request in five fails somehow; every record, offset and length is that of the file on disk."""
    (tmp_path / "x.warc.gz").write_bytes(b"".join(warc(n, 30_000) for n in range(60)))
    server.files["/x.warc.gz"] = (tmp_path / "x.warc.gz").read_bytes()
    rng = random.Random(3)
    server.faults += [
        rng.choice([503, "cut", "short", "shifted", 500]) if rng.random() < 0.2 else None for _ in range(500)
    ]
    here = list(read_records(str(tmp_path / "x.warc.gz")))
    there = list(read_records(url(server, "/x.warc.gz"), settings=QUICK))
    assert len(here) == 60 and all(isinstance(item, Record) for item in here)

    def shape(item):
        return (item.id, item.warc_offset, item.warc_length, item.body)

    assert list(map(shape, there)) == list(map(shape, here))
    resumed = read_records(url(server, "/x.warc.gz"), start=here[40].warc_offset, settings=QUICK)
    assert list(map(shape, resumed)) == list(map(shape, here[40:]))
    server.requests.clear()
    server.faults.clear()
    assert shape(read_at(url(server, "/x.warc.gz"), here[50].warc_offset, settings=QUICK)) == shape(here[50])
    assert len(server.requests) <= 5


def test_a_store_that_dies_in_the_middle_of_a_file_is_an_input_error(server):
    server.files["/x.warc.gz"] = b"".join(warc(n, 30_000) for n in range(60))
    records = read_records(url(server, "/x.warc.gz"), settings=QUICK)
    assert [next(records).id for _ in range(3)] == ["r0", "r1", "r2"]
    server.faults += [503] * 1000
    with pytest.raises(InputError, match="failed 5 times"):
        list(records)


def test_reading_is_held_to_a_rate(monkeypatch):
    """Ten readers of 100 bytes each at 50 bytes a second: the last waits for the 900 bytes before it."""
    waits = []
    monkeypatch.setattr(remote.time, "monotonic", lambda: 0.0)
    monkeypatch.setattr(remote.time, "sleep", waits.append)
    monkeypatch.setattr(remote, "_pace_free_at", 0.0)
    for _ in range(10):
        remote.throttle(100, 50.0)
    remote.throttle(100, None)
    assert waits == [2.0 * n for n in range(1, 10)]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"attempts": 0}, "attempts: must be at least 1, got 0"),
        ({"timeout": 0}, "timeout: must be above 0, got 0"),
        ({"first_wait": -1}, "first_wait: must be at least 0, got -1"),
        ({"bytes_per_second": 0}, "bytes_per_second: must be above 0, got 0"),
    ],
)
def test_impossible_settings(fields, message):
    with pytest.raises(ValueError) as error:
        RemoteSettings(**fields)
    assert str(error.value) == message
