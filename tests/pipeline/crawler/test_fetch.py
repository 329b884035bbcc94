"""One request: what is stored of the answer, and what a bad server cannot do."""

import contextlib
import datetime
import gzip
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from pipeline.crawler.fetch import Failure, Fetcher, Response, is_public
from pipeline.crawler.url import Url, parse_url


@pytest.fixture
def get(web):
    """Fetch a path of the test server."""

    def run(path: str = "/", **settings) -> Response | Failure:
        fields = {"user_agent": "tester/1", "timeout": 5.0, "max_bytes": 10_000, "private_hosts": {"127.0.0.1"}}
        return Fetcher(**{**fields, **settings})(url(web.url + path))

    return run


def url(text: str) -> Url:
    parsed = parse_url(text)
    assert parsed is not None
    return parsed


def test_request_and_response_are_kept_as_they_went_over_the_wire(web, get, answer):
    web.answers["/a?b"] = answer("<p>hi</p>", X_Odd="  caf\u00e9 ")
    response = get("/a?b")
    assert response.request == web.requests[0]
    assert response.request.startswith(b"GET /a?b HTTP/1.1\r\nUser-Agent: tester/1\r\n")
    assert f"Host: 127.0.0.1:{web.port}\r\n".encode() in response.request
    assert response.head + response.body == web.answers["/a?b"]
    assert (response.status, response.address, response.truncated) == (200, "127.0.0.1", None)
    assert response.header("x-odd") == "caf\u00e9"


def test_encodings_are_taken_off_and_remembered(web, get):
    packed = gzip.compress(b"<p>packed</p>")
    chunks = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(part), part) for part in (packed[:7], packed[7:]))
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nTransfer-Encoding: chunked\r\nX: 1\r\n\r\n"
    web.answers["/"] = head + chunks + b"0\r\nTrailer: x\r\n\r\n"
    response = get()
    assert response.body == b"<p>packed</p>"
    assert response.head == (
        b"HTTP/1.1 200 OK\r\nX-Crawler-content-encoding: gzip\r\nX-Crawler-Transfer-Encoding: chunked\r\nX: 1\r\n"
        b"Content-Length: 13\r\n\r\n"
    )


def test_the_length_of_the_packed_body_does_not_stay(web, get, answer):
    packed = gzip.compress(b"x" * 500) + gzip.compress(b"y" * 500)
    web.answers["/"] = answer(packed, Content_Encoding="gzip")
    response = get()
    assert response.body == b"x" * 500 + b"y" * 500
    assert b"X-Crawler-Content-Length: %d\r\n" % len(packed) in response.head
    assert response.head.endswith(b"\r\nContent-Length: 1000\r\n\r\n")


@pytest.mark.parametrize(("encoding", "body"), [("gzip", b"<p>not packed</p>"), ("br", b"\x0b\x02\x80<p>\x03")])
def test_a_body_that_cannot_be_decoded_stays_as_received(web, get, answer, encoding, body):
    web.answers["/"] = answer(body, Content_Encoding=encoding)
    response = get()
    assert response.body == body
    assert f"\r\nContent-Encoding: {encoding}\r\n".encode() in response.head


def test_a_body_of_the_limit_is_whole_and_one_byte_more_is_cut(web, get, answer):
    web.answers["/whole"], web.answers["/long"] = answer(b"x" * 10_000), answer(b"x" * 10_001)
    assert (len(get("/whole").body), get("/whole").truncated) == (10_000, None)
    long = get("/long")
    assert (len(long.body), long.truncated) == (10_000, "length")
    assert b"X-Crawler-Content-Length: 10001\r\n" in long.head


def test_a_body_that_unpacks_beyond_the_limit_is_cut(web, get, answer):
    web.answers["/"] = answer(gzip.compress(bytes(50_000_000)), Content_Encoding="gzip")
    response = get(max_bytes=100_000)
    assert (len(response.body), response.truncated) == (100_000, "length")


def test_a_body_without_end_is_cut(web, get):
    def flood(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    web.answers["/"] = flood
    assert get().truncated == "length"


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", b"short"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n", b"first"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\nzz\r\nnext", b"first"),
    ],
    ids=["content-length", "chunks", "bad chunk size"],
)
def test_a_body_that_ends_too_early_says_so(web, get, raw, body):
    web.answers["/"] = raw
    response = get()
    assert (response.body, response.truncated) == (body, "disconnect")
    assert f"\r\nContent-Length: {len(body)}\r\n".encode() in response.head


def test_a_content_length_that_is_too_short_ends_the_body_there(web, get, answer):
    web.answers["/"] = answer("0123456789", Content_Length="4")
    assert (get().body, get().truncated) == (b"0123", None)


def test_a_body_that_stalls_is_cut_at_the_timeout(web, get):
    def stall(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n" + b"x" * 8192)
        time.sleep(3)

    web.answers["/"] = stall
    response = get(timeout=0.3)
    assert (response.body, response.truncated) == (b"x" * 8192, "time")


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: "], ids=["silence", "one byte at a time"])
def test_a_head_that_never_ends_is_a_timeout(web, get, start):
    def drip(connection):
        connection.sendall(start)
        for _ in range(300):
            connection.sendall(b"x" if start else b"")
            time.sleep(0.01)

    web.answers["/"] = drip
    result = get(timeout=0.3)
    assert isinstance(result, Failure)
    assert result.cause == "timeout"


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"<html>HTTP/0.9</html>",
    ],
    ids=["another protocol", "no status", "200 headers", "long header", "no head"],
)
def test_an_answer_that_is_no_http_is_malformed(web, get, raw):
    web.answers["/"] = raw
    assert get().cause == "malformed"


def test_an_empty_answer_and_a_closed_port_are_failures_to_connect(web, get):
    web.answers["/"] = lambda connection: None
    assert get().cause in {"connect", "malformed"}
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    fetcher = Fetcher(user_agent="t", timeout=5, max_bytes=10, private_hosts=frozenset({"127.0.0.1"}))
    assert fetcher(url(f"http://127.0.0.1:{port}/")).cause == "connect"


def test_100_continue_is_not_the_answer(web, get, answer):
    web.answers["/"] = b"HTTP/1.1 100 Continue\r\nX: early\r\n\r\n" + answer("late")
    response = get()
    assert (response.status, response.body) == (200, b"late")
    assert response.head == answer("late").removesuffix(b"late")


def test_bare_line_feeds_and_folded_lines_make_a_head(web, get):
    web.answers["/"] = b"HTTP/1.1 200\nContent-Type: text/html;\n charset=utf-8\nno colon here\n\nbody"
    response = get()
    assert response.body == b"body"
    assert response.head.endswith(b"Content-Length: 4\r\n\r\n")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("192.0.2.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.215.14", True),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
        ("ff02::1", False),
    ],
)
def test_public_addresses(address, public):
    assert is_public(address) is public


def test_a_name_for_a_private_address_is_not_fetched(web, get):
    result = get(private_hosts=frozenset())
    assert isinstance(result, Failure)
    assert (result.cause, web.requests) == ("private_address", [])


def test_a_name_is_asked_for_once(web, monkeypatch, answer):
    """A name that moves to another address between two requests (DNS rebinding) is still the first machine."""
    web.answers["/"] = answer("hi")
    asked = []

    real = socket.getaddrinfo

    def lookup(host, port, *args, **options):
        if host != "site.example":
            return real(host, port, *args, **options)
        asked.append(host)
        return real("127.0.0.1" if len(asked) == 1 else "127.0.0.9", port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    fetcher = Fetcher(user_agent="t", timeout=5, max_bytes=10, private_hosts=frozenset({"site.example"}))
    page = url(f"http://site.example:{web.port}/")
    assert [fetcher(page).status, fetcher(page).status] == [200, 200]
    assert asked == ["site.example"]


def test_a_host_that_has_no_address_is_a_dns_failure():
    fetcher = Fetcher(user_agent="t", timeout=5, max_bytes=10)
    assert fetcher(url("http://no-such-host.invalid/")).cause == "dns"


def test_tls_is_checked_against_the_host_name(tmp_path, monkeypatch):
    certificate, key = self_signed(tmp_path, "secure.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), context.wrap_socket(raw, server_side=True) as connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")

    threading.Thread(target=serve, daemon=True).start()
    endpoint = listener.getsockname()
    to = {("secure.example", 443): endpoint, ("other.example", 443): endpoint}
    with contextlib.closing(listener):
        strict = Fetcher(user_agent="t", timeout=5, max_bytes=10, connect_to=to)
        assert strict(url("https://secure.example/")).cause == "tls"
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        trusting = Fetcher(user_agent="t", timeout=5, max_bytes=10, connect_to=to)
        assert trusting(url("https://secure.example/")).body == b"secret"
        assert trusting(url("https://other.example/")).cause == "tls"


def self_signed(folder: Path, host: str) -> tuple[Path, Path]:
    """A certificate for `host` and its key, as PEM files."""
    x509 = pytest.importorskip("cryptography.x509", reason="makes the certificate")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .issuer_name(name)
        .subject_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=10))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(secret)
    return folder / "cert.pem", folder / "key.pem"
