"""The explorer over real HTTP: every page, who may ask, what is refused, what a hostile page can do."""

import html.parser
import http.client
import json
import re
import shutil
import socket
import subprocess
import threading
import urllib.parse
from contextlib import contextmanager

import pytest

from pipeline.contract.errors import InputError, UserError
from pipeline.explore import server as explorer
from pipeline.explore.access import is_loopback
from pipeline.explore.server import Explorer

TOKEN = "a-token-of-24-characters"


@contextmanager
def serving(out, *, host="127.0.0.1", token=None):
    with Explorer(out, host=host, port=0, token=token) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def server(out):
    with serving(out) as server:
        yield server


def ask(server, path, *, method="GET", host=None, **headers):
    """(status, headers, text) of a request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    try:
        headers["Host"] = f"localhost:{server.server_port}" if host is None else host
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def links(text):
    return [value.replace("&amp;", "&") for value in re.findall(r'href="([^"]*)"', text)]


def test_every_page_that_links_lead_to_is_there_and_says_nothing_can_run(server):
    todo, seen = ["/"], set()
    while todo:
        path = todo.pop()
        if path in seen or "again=yes" in path:
            continue
        seen.add(path)
        status, headers, text = ask(server, path)
        assert status == 200, (path, text)
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'unsafe-inline';")
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")
        found = links(text)
        assert all(link.startswith("/") and not link.startswith("//") for link in found), found
        todo += found
    kinds = {urllib.parse.urlsplit(path).path for path in seen}
    assert kinds == {"/", "/documents", "/dropped", "/quarantine", "/document", "/cluster", "/diff", "/search"}
    assert len(seen) > 35


def test_the_overview_adds_up(server):
    text = ask(server, "/")[2]
    assert "23 read = 15 kept + 7 dropped + 1 quarantined" in text and "Nothing was lost." in text
    assert 'aria-label="extract: 21 of 23 kept"' in text and 'aria-label="tokenize: 15 of 15 kept"' in text


def test_filters_and_search_find_what_is_there(server):
    assert ask(server, "/documents?domain=site.example")[2].count("/document?") == 12
    assert ask(server, "/documents?words=story+NUMBER+9")[2].count("/document?") == 4  # 9, 90, 91 and 92
    assert ask(server, "/documents?signals=gopher_quality.words%3E100000")[2].count("/document?") == 0
    text = ask(server, "/dropped?step=filter&reason=too_few_words")[2]
    assert text.count("/document?") == 4 and "short.example" in text
    assert "Documents: 1<" in ask(server, "/search?by=url&for=https%3A%2F%2Fz.example%2F")[2]
    assert "Dropped: 1<" in ask(server, "/search?by=domain&for=blocked.example")[2]
    assert "Quarantine: 1<" in ask(server, "/search?by=domain&for=damaged.example")[2]
    assert "Documents: 1<" in ask(server, "/search?by=words&for=story+NUMBER+91")[2]


def test_head_is_get_without_the_page(server):
    _, headers, text = ask(server, "/quarantine")
    status, short, nothing = ask(server, "/quarantine", method="HEAD")
    assert (status, nothing) == (200, "") and short["Content-Length"] == headers["Content-Length"] == str(
        len(text.encode())
    )


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "X"])
def test_nothing_but_get_and_head(server, method):
    status, headers, text = ask(server, "/", method=method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD") and "405" in text


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/documents?order=best", 400, "stored"),
        ("/documents?sort=no.such&order=ascending", 400, "gopher_quality.words"),
        (
            "/documents?signals=gopher_quality.wrds<80".replace("<", "%3C"),
            400,
            "did you mean &#39;gopher_quality.words&#39;",
        ),
        ("/documents?skip=5000&order=sample", 400, "from 0 to 1,000"),
        ("/documents?from=00000:x", 400, "not a whole number"),
        ("/documents?colour=red", 400, "there is no parameter"),
        ("/dropped?reason=no_such", 400, "too_few_words"),
        ("/dropped?seed=-1", 400, "whole number"),
        ("/search?by=smell&for=x", 400, "domain"),
        ("/search?for=" + "x" * 1025, 400, "at most 1024"),
        ("/document?table=secrets&part=a", 400, "quarantine"),
        ("/document?part=../../etc/passwd", 404, "there is no part"),
        ("/document?part=00000&row=999999", 404, "has no row"),
        ("/document?part=00000&row=99999999999999", 400, "whole number"),
        ("/diff?part=00000&row=0&other=filter-00001&other_row=0", 400, "not dropped for the first"),
        ("/run.json", 404, "no such page"),
        ("/../../etc/passwd", 404, "no such page"),
        ("/documents/part-00000.parquet", 404, "no such page"),
        ("/?" + "x" * 9000, 414, "longer than"),
        ("/?a=%ff", 400, "cannot be read"),
    ],
)
def test_wrong_values_are_pages_with_their_status(server, path, status, says):
    found, headers, text = ask(server, path)
    assert (found, says in text) == (status, True), text[-1500:]
    assert headers["Content-Type"] == "text/html; charset=utf-8" and "Traceback" not in text


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("127.0.0.1:99", 200), ("[::1]:80", 200), ("evil.example", 421),
     ("localhost.evil.example", 421), ("127.0.0.1.nip.example:8710", 421), ("8.8.8.8", 421),
     ("", 421), ("x" * 400, 400)],
)  # fmt: skip
def test_only_our_own_names_are_answered_to(server, host, status):
    assert ask(server, "/", host=host)[0] == status


def test_without_a_host_or_with_two_there_is_no_answer(server):
    for lines in (b"", b"Host: localhost\r\nHost: evil.example\r\n"):
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as client:
            client.sendall(b"GET / HTTP/1.1\r\n" + lines + b"\r\n")
            assert client.recv(100).split(b" ")[1] == b"400"


def test_a_token_is_needed_where_one_is_set(out):
    with serving(out, token=TOKEN) as server:
        for path in ("/", "/documents", "/nothing", "/?token=", "/?token=" + TOKEN[:-1], "/?token=%C3%A9"):
            status, _, text = ask(server, path)
            assert status == 403 and "23 read" not in text, path
        status, headers, _ = ask(server, f"/documents?language=en&token={TOKEN}")
        assert (status, headers["Location"]) == (303, "/documents?language=en")
        cookie = headers["Set-Cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        assert ask(server, "/", Cookie=cookie.partition(";")[0])[0] == 200
        assert ask(server, "/", Cookie=cookie.partition(";")[0] + "x")[0] == 403
        assert ask(server, "/", Cookie="tokenmill_explore_1=" + TOKEN)[0] == 403
        assert ask(server, "/", Cookie='a="\\; b=[')[0] == 403


def test_an_open_address_answers_to_addresses_but_not_to_names(out):
    with serving(out, host="0.0.0.0", token=TOKEN) as server:
        assert [ask(server, "/", host=host)[0] for host in ("10.0.0.7:80", "localhost", "evil.example")] == [
            403,
            403,
            421,
        ]


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("", False)],
)  # fmt: skip
def test_what_is_loopback(host, local):
    assert is_loopback(host) is local


def test_another_site_cannot_have_pages_read_again(server, out):
    path = next(link for link in links(ask(server, "/dropped?step=extract")[2]) if link.startswith("/document?"))
    assert ask(server, path + "&again=yes", Sec_Fetch_Site="cross-site")[0] == 403
    status, _, text = ask(server, path + "&again=yes", Sec_Fetch_Site="same-origin")
    assert status == 200 and "would drop: domain" in text and "Story number 80" in text


def test_one_who_sends_slowly_is_cut_off_and_the_others_are_not(out, monkeypatch):
    monkeypatch.setattr(explorer, "READ_SECONDS", 0.2)
    with serving(out) as server, socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        assert ask(server, "/")[0] == 200
        assert slow.recv(100) == b""


def test_too_many_connections_are_refused_and_later_ones_served(out, monkeypatch):
    monkeypatch.setattr(explorer, "MAX_CONNECTIONS", 2)
    with serving(out) as server:
        waiting = [socket.create_connection(("127.0.0.1", server.server_port), timeout=20) for _ in range(3)]
        assert waiting[2].recv(10) == b""
        for one in waiting:
            one.close()
        for _ in range(100):
            try:
                assert ask(server, "/")[0] == 200
                break
            except (ConnectionError, http.client.HTTPException):
                continue  # the closed ones are still being noticed
        else:
            pytest.fail("no room was made")


def test_what_fails_inside_is_told_here_and_not_there(out, monkeypatch, capsys):
    def fail(folder, params):
        raise RuntimeError("the-inside \x1b[2J")

    monkeypatch.setattr(explorer, "PAGES", {"/": fail})
    with serving(out) as server:
        status, _, text = ask(server, "/")
    told = capsys.readouterr().err
    assert status == 500 and "the-inside" not in text and "Traceback" not in text
    assert "RuntimeError: the-inside \\x1b[2J" in told and "\x1b" not in told


class _Harm(html.parser.HTMLParser):
    """Collects what in a page could run or lead away."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [tag] if tag in ("script", "iframe", "object", "embed", "base", "link", "img") else []
        self.found += [f"{tag} {name}={value}" for name, value in attrs if name.startswith("on")]
        self.found += [
            f"{tag} {value}" for name, value in attrs if name in ("href", "action") and not value.startswith("/")
        ]


def hostile_pages(server):
    query = urllib.parse.quote('"><script>document.title="owned"</script>\u202e\x1b')
    found = ask(server, "/search?by=domain&for=evil.example")[2]
    [one] = [link for link in links(found) if link.startswith("/document?")]
    return [one, "/search?by=domain&for=evil.example", f"/search?by=words&for={query}", f"/documents?domain={query}",
            f"/documents?order={query}", f"/documents?{query}=1", "/documents?domain=evil.example"]  # fmt: skip


def test_nothing_of_a_hostile_page_or_address_runs(server):
    shown = ""
    for path in hostile_pages(server):
        text = ask(server, path)[2]
        harm = _Harm()
        harm.feed(text)
        assert harm.found == [], path
        assert "\u202e" not in text and "\x1b" not in text
        shown += text
    assert "owned" in shown and "\\u202e" in shown and "&lt;script&gt;alert(1)&lt;/script&gt;" in shown


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the browser: apt-get install chromium")
def test_nothing_of_a_hostile_page_runs_in_a_real_browser(server, tmp_path):
    path = hostile_pages(server)[0]
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
               "--disable-background-networking", "--disable-component-update", "--disable-quic",
               f"--user-data-dir={tmp_path}/profile", "--virtual-time-budget=2000", "--dump-dom"]  # fmt: skip
    url = f"http://127.0.0.1:{server.server_port}{path}"
    shown = subprocess.run([*command, url], capture_output=True, text=True, timeout=120).stdout
    title = re.search(r"<title>(.*?)</title>", shown, re.DOTALL).group(1)
    assert "evil.example" in title and title != "owned" and "<script" not in shown


def test_a_run_that_is_not_done_can_be_looked_at(out, tmp_path):
    shutil.copytree(out, tmp_path / "o")
    shutil.rmtree(tmp_path / "o" / "documents")
    tree = json.loads((out / "run.json").read_text())
    tree |= {"state": "running", "totals": {**tree["totals"], "read": 0, "kept": 0, "quarantined": 0, "dropped": {}}}
    (tmp_path / "o" / "run.json").write_text(json.dumps(tree))
    with serving(tmp_path / "o") as server:
        assert "This run is not done" in ask(server, "/")[2]
        assert ask(server, "/documents")[0] == ask(server, "/search?by=words&for=x")[0] == 200
        assert ask(server, "/dropped?reason=too_few_words")[2].count("/document?") == 4
        (tmp_path / "o" / "run.json").write_text("{")
        assert ask(server, "/")[0] == 503


def test_what_is_no_run_and_a_port_in_use_are_told(out, tmp_path):
    with pytest.raises(InputError, match="not a run folder"):
        Explorer(tmp_path, host="127.0.0.1", port=0, token=None)
    with serving(out) as server, pytest.raises(UserError, match="cannot be bound"):
        Explorer(out, host="127.0.0.1", port=server.server_port, token=None)


def test_nothing_in_the_folder_changes(server, out):
    state = {path: path.stat().st_mtime_ns for path in sorted(out.rglob("*"))}
    for path in ("/", "/documents?order=sample", "/dropped", "/quarantine", "/search?by=words&for=the"):
        assert ask(server, path)[0] == 200
    assert state == {path: path.stat().st_mtime_ns for path in sorted(out.rglob("*"))}
