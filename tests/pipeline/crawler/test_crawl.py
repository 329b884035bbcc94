"""Whole crawls of a real server on loopback."""

import gzip
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from base64 import b32encode
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator

from pipeline.contract.errors import InputError, IntegrityError
from pipeline.crawler.crawl import crawl

DATE = "2026-01-31T00:00:00Z"


@pytest.fixture
def run(web, tmp_path):
    """Crawl the test server without a pause; returns the summary."""

    def go(*paths: str, output: Path = tmp_path / "out", **settings):
        settings = {"delay": 0, "timeout": 5.0, "date": DATE, **settings}
        return crawl([web.url + path for path in paths or ("/",)], output, **settings)

    return go


def records(folder: Path) -> list[tuple[str, dict[str, str], bytes]]:
    """Type, headers and block of every record in the WARC files of a folder, digests checked."""
    found = []
    for path in sorted(folder.glob("*.warc.gz")):
        for record in ArchiveIterator(io.BytesIO(path.read_bytes()), parse_http=False):
            block = record.reader.read()
            headers = dict(record.headers)
            assert headers["WARC-Block-Digest"] == sha1(block)
            found.append((headers["WARC-Type"], headers, block))
    return found


def sha1(data: bytes) -> str:
    return "sha1:" + b32encode(hashlib.sha1(data).digest()).decode()


def stored(folder: Path) -> list[str]:
    """Paths of the stored pages, in order."""
    return ["/" + h["WARC-Target-URI"].split("/", 3)[3] for kind, h, _ in records(folder) if kind == "response"]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_records_are_those_of_common_crawl(web, run, answer, tmp_path):
    web.answers["/"] = answer("<html><meta charset=utf-8><p>caf\u00e9</p>", Set_Cookie="a=b")
    summary = run()
    assert (summary.requested, summary.stored, summary.statuses) == (1, 1, {"200": 1})
    assert summary.warcs == ("crawl-00000.warc.gz",)
    (_, info, fields), (_, asked, request), (_, got, response), (_, about, notes) = records(tmp_path / "out")
    assert [r[0] for r in records(tmp_path / "out")] == ["warcinfo", "request", "response", "metadata"]
    assert info["WARC-Filename"] == "crawl-00000.warc.gz"
    assert b"format: WARC File Format 1.0\r\n" in fields
    for record in (asked, got, about):
        assert record["WARC-Warcinfo-ID"] == info["WARC-Record-ID"]
        assert record["WARC-Target-URI"] == f"{web.url}/"
        assert record["WARC-Date"] == DATE
    assert got["WARC-Concurrent-To"] == asked["WARC-Record-ID"]
    assert about["WARC-Concurrent-To"] == got["WARC-Record-ID"]
    assert asked["WARC-IP-Address"] == got["WARC-IP-Address"] == "127.0.0.1"
    assert got["Content-Type"] == "application/http; msgtype=response"
    assert got["WARC-Identified-Payload-Type"] == "text/html"
    assert request == web.requests[-1]
    assert response == web.answers["/"]
    assert got["WARC-Payload-Digest"] == sha1("<html><meta charset=utf-8><p>caf\u00e9</p>".encode())
    assert notes == b"charset-detected: utf-8\r\n\r\n"


def test_the_index_says_where_each_response_stands(web, run, tmp_path):
    web.page("/", "/a", "/missing")
    web.page("/a")
    run()
    lines = [json.loads(line) for line in (tmp_path / "out/crawl-00000.jsonl").read_text().splitlines()]
    assert [(line["url"].removeprefix(web.url), line["status"]) for line in lines] == [
        ("/", 200),
        ("/a", 200),
        ("/missing", 404),
    ]
    assert lines[0]["links"] == [f"{web.url}/a", f"{web.url}/missing"]
    data = (tmp_path / "out" / lines[1]["warc"]).read_bytes()
    member = gzip.decompress(data[lines[1]["offset"] :][: lines[1]["length"]])
    assert b"WARC-Type: response\r\n" in member
    assert f"WARC-Target-URI: {web.url}/a\r\n".encode() in member


def test_pages_come_breadth_first_and_sorted(web, run, tmp_path):
    web.page("/", "/z", "/b", "/b#again")
    web.page("/b", "/", "/a")
    web.page("/z", "/c", "/b")
    for leaf in "ac":
        web.page(f"/{leaf}")
    run()
    assert stored(tmp_path / "out") == ["/", "/b", "/z", "/a", "/c"]


def test_limit_and_depth(web, run, tmp_path):
    web.page("/", *(f"/{i}" for i in range(5)))
    for i in range(5):
        web.page(f"/{i}", f"/deep{i}")
    assert run(limit=3, output=tmp_path / "limit").requested == 3
    assert len(web.requests) == 1 + 3  # robots.txt
    summary = run(max_depth=1, output=tmp_path / "depth")
    assert (summary.stored, summary.ignored) == (6, {"too_deep": 5})


def test_bytes_do_not_depend_on_concurrency_or_timing(web, run, answer, tmp_path):
    web.page("/", *(f"/{i}" for i in range(12)))
    for i in range(12):
        web.page(f"/{i}", f"/{i}/x")

    def later(connection):
        time.sleep(0.05)
        connection.sendall(answer("slow"))

    slow = {f"/{i}": later for i in range(0, 12, 3)}
    to = tuple(f"{host}.example:80:127.0.0.1:{web.port}" for host in "abc")
    seeds = [f"http://{host}.example/" for host in "abc"]
    folders = [tmp_path / "one", tmp_path / "many"]
    for folder, threads in zip(folders, (1, 6), strict=True):
        web.answers |= slow
        crawl(seeds, folder, delay=0, date=DATE, concurrency=threads, connect_to=to, per_warc=10)
    assert content(folders[0]) == content(folders[1])
    assert len(list(folders[0].glob("*.warc.gz"))) == 7  # 3 hosts with 13 + 8 pages (4 of 12 lead nowhere), 404s too


def test_redirects_are_records_and_are_followed_on_the_host(web, run, answer, tmp_path):
    web.answers["/"] = answer("", "301 Moved Permanently", Location="/to")
    web.answers["/to"] = answer("", "302 Found", Location="http://elsewhere.example/")
    summary = run()
    assert stored(tmp_path / "out") == ["/", "/to"]
    assert (summary.statuses, summary.ignored) == ({"301": 1, "302": 1}, {"other_host": 1})


def test_redirect_loops_and_endless_chains_end(web, run, answer, tmp_path):
    web.page("/", "/loop", "/self", "/chain0")
    web.answers["/loop"] = answer("", "307 Temporary Redirect", Location="/back")
    web.answers["/back"] = answer("", "308 Permanent Redirect", Location="/loop")
    web.answers["/self"] = answer("", "301 Moved", Location="/self")
    web.answers |= {f"/chain{i}": answer("", "303 See Other", Location=f"/chain{i + 1}") for i in range(20)}
    web.answers["/nowhere"] = answer("", "301 Moved", Location="http://[bad")
    summary = run("/", "/nowhere")
    paths = stored(tmp_path / "out")
    assert {"/loop", "/back", "/self", "/chain10"} < set(paths)
    assert "/chain11" not in paths
    assert summary.ignored == {"too_many_redirects": 1, "unusable": 1}


def test_a_redirect_into_the_private_network_is_not_followed(web, run, answer, tmp_path):
    """A public page that points at an address inside is not a way in, with any host allowed."""
    web.answers["/"] = answer("", "302 Found", Location="http://169.254.169.254/latest/meta-data/")
    web.answers["/page"] = answer(f'<a href="http://localhost:{web.port}/inside">x</a>')
    summary = run("/", "/page", same_host=False)
    assert summary.refused == {"robots_unreachable": 2}
    assert "/inside" not in web.paths
    lines = [json.loads(line) for line in (tmp_path / "out/crawl-00000.jsonl").read_text().splitlines()]
    assert all("private_address" in line["detail"] for line in lines if line["outcome"] == "robots_unreachable")


def test_a_seed_name_with_a_private_address_needs_leave(web, tmp_path, monkeypatch):
    import socket

    real = socket.getaddrinfo
    local = lambda host, *args, **more: real("127.0.0.1" if host == "inside.example" else host, *args, **more)  # noqa: E731
    monkeypatch.setattr(socket, "getaddrinfo", local)
    web.page("/")
    seeds = [f"http://inside.example:{web.port}/"]
    assert crawl(seeds, tmp_path / "no", delay=0).refused == {"robots_unreachable": 1}
    assert crawl(seeds, tmp_path / "yes", delay=0, allow_private=True).stored == 1


def test_another_port_is_another_host(web, run):
    web.page("/", "http://127.0.0.1:1/", "https://127.0.0.1/", "//127.0.0.1/")
    assert run().ignored == {"other_host": 3}


def test_robots_txt_is_obeyed_and_asked_for_once(web, run, answer, tmp_path):
    web.answers["/robots.txt"] = answer("User-agent: *\nDisallow: /private\n", Content_Type="text/plain")
    web.page("/", "/private/a", "/public")
    web.page("/public")
    summary = run()
    assert stored(tmp_path / "out") == ["/", "/public"]
    assert summary.refused == {"robots_disallowed": 1}
    assert web.paths.count("/robots.txt") == 1
    assert "/private/a" not in web.paths


def test_the_pause_is_kept_and_a_longer_crawl_delay_wins(web, run, answer, tmp_path):
    web.page("/", "/a", "/b")
    run(delay=0.1, concurrency=4, output=tmp_path / "delay")
    assert min(b - a for a, b in zip(web.times, web.times[1:], strict=False)) >= 0.1
    web.times.clear()
    web.answers["/robots.txt"] = answer("User-agent: *\nCrawl-delay: 0.2\n")
    run(delay=0.1, output=tmp_path / "crawl-delay")
    assert min(b - a for a, b in zip(web.times[1:], web.times[2:], strict=False)) >= 0.2
    web.answers["/robots.txt"] = answer("User-agent: *\nCrawl-delay: 31\n")
    assert run(output=tmp_path / "too-slow").refused == {"robots_crawl_delay": 1}


def test_a_busy_host_is_given_the_time_it_asks_for(web, run, answer):
    web.page("/", "/a", "/b")
    web.answers["/a"] = answer("", "503 Busy", Retry_After="1")
    run()
    asked = dict(zip(web.paths, web.times, strict=True))
    assert asked["/b"] - asked["/a"] >= 1.0


def test_a_host_that_stops_answering_is_left_alone(web, run, tmp_path):
    web.page("/", *(f"/{i}" for i in range(9)))
    web.answers |= {f"/{i}": b"junk\r\n" for i in range(9)}
    for threads in (1, 4):
        summary = run(concurrency=threads, output=tmp_path / str(threads))
        assert (summary.requested, summary.failed, summary.refused) == (6, {"malformed": 5}, {"host_unreachable": 4})


def test_what_is_no_page_is_stored_and_not_searched_for_links(web, run, answer, tmp_path):
    link = '<html><a href="/never">x</a>'
    web.page("/", "/pdf", "/text", "/error", "/header", "/odd")
    web.answers["/pdf"] = answer(b"%PDF-1.4 " + link.encode(), Content_Type="application/pdf")
    web.answers["/text"] = answer(link, Content_Type="text/plain")
    web.answers["/error"] = answer(link, "500 Oops")
    web.answers["/header"] = answer(link, X_Robots_Tag="noindex, nofollow")
    web.answers["/odd"] = answer('<html><a href="/found">x</a>', Content_Type="")
    summary = run()
    assert "/never" not in web.paths
    assert "/found" in web.paths
    assert summary.statuses == {"200": 5, "404": 1, "500": 1}
    types = {
        h["WARC-Target-URI"]: h["WARC-Identified-Payload-Type"]
        for k, h, _ in records(tmp_path / "out")
        if k == "response"
    }
    assert types[f"{web.url}/pdf"] == "application/pdf"


def test_bad_pages_do_not_end_the_crawl(web, run, answer, tmp_path):
    web.page("/", "/caf%E9", "/stall", "/huge", "/short", "/soup", "/\u65e5\u672c", "/last")
    web.answers["/stall"] = lambda connection: time.sleep(3)
    web.answers["/huge"] = answer(b"x" * 300_000)
    web.answers["/short"] = answer("cut", Content_Length="1000")
    web.answers["/soup"] = answer(b"<a href=/x><<<\x00\xff<a href='/y\xff'>")
    web.page("/last")
    summary = run(timeout=0.5, max_bytes=100_000)
    assert summary.failed == {"timeout": 1}
    assert summary.truncated == 2
    assert {"/caf%E9", "/%E6%97%A5%E6%9C%AC", "/last", "/x", "/y%C3%BF"} <= set(stored(tmp_path / "out"))
    cut = {
        h["WARC-Target-URI"]: h.get("WARC-Truncated") for kind, h, _ in records(tmp_path / "out") if kind == "response"
    }
    assert (cut[f"{web.url}/huge"], cut[f"{web.url}/short"]) == ("length", "disconnect")


def test_connect_to_gives_a_name_another_address(web, tmp_path):
    web.page("/")
    summary = crawl(["http://site.example/"], tmp_path, delay=0, connect_to=(f"site.example:80:127.0.0.1:{web.port}",))
    assert summary.stored == 1
    assert b"\r\nHost: site.example\r\n" in web.requests[-1]


def test_without_a_date_each_record_has_its_own_and_a_duration(web, run, tmp_path):
    web.page("/")
    run(date=None)
    *_, (_, about, notes) = records(tmp_path / "out")
    assert about["WARC-Date"] > DATE
    assert notes.startswith(b"fetchTimeMs: ")


def test_a_finished_crawl_is_returned_and_other_settings_are_refused(web, run):
    web.page("/")
    first = run()
    asked = len(web.requests)
    assert run() == first
    assert run(delay=1, concurrency=3) == first
    assert len(web.requests) == asked
    with pytest.raises(InputError, match="limit: 100 -> 7"):
        run(limit=7)


def test_a_folder_that_holds_something_else_is_refused(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").touch()
    with pytest.raises(InputError, match="holds no crawl"):
        run()


def test_a_killed_crawl_goes_on_after_its_last_whole_file(web, run, answer, tmp_path):
    web.page("/", *(f"/{i:02}" for i in range(12)), "/secret")
    for i in range(12):
        web.page(f"/{i:02}", f"/more{i:02}")
    web.answers["/03"] = b"junk\r\n"
    web.answers["/robots.txt"] = answer("User-agent: *\nDisallow: /secret\n")
    undisturbed = run(per_warc=5, output=tmp_path / "undisturbed")

    hold = web.answers["/08"]
    web.answers["/08"] = lambda connection: time.sleep(60)
    code = (
        "import sys; from pathlib import Path; from pipeline.crawler.crawl import crawl;"
        f"crawl(['{web.url}/'], Path(sys.argv[1]), delay=0, date='{DATE}', per_warc=5, concurrency=2)"
    )
    killed = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "killed")], cwd=Path(__file__).parents[3])
    while "/08" not in web.paths[len(web.paths) // 2 :] or "/08" not in web.paths[20:]:
        time.sleep(0.02)
        assert killed.poll() is None
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert (tmp_path / "killed/crawl-00000.warc.gz").exists()
    assert (tmp_path / "killed/crawl-00001.warc.gz.open").exists()

    web.answers["/08"] = hold
    web.requests.clear()
    seen = []
    resumed = run(per_warc=5, output=tmp_path / "killed", on_outcome=lambda outcome: seen.append(outcome.url))
    assert resumed == undisturbed
    assert content(tmp_path / "killed") == content(tmp_path / "undisturbed")
    assert len(seen) == len(set(seen)) == resumed.requested + sum(resumed.refused.values())
    assert "/" not in web.paths
    assert "/03" not in web.paths  # its failure is on record too


def test_a_damaged_folder_is_an_error(web, run, answer, tmp_path):
    web.page("/", "/a")
    web.answers["/a"] = b"junk\r\n"
    run(per_warc=1)
    (tmp_path / "out/crawl.json").write_text(
        (tmp_path / "out/crawl.json").read_text().split('"summary"')[0] + '"summary": null}'
    )
    (tmp_path / "out/crawl-00000.jsonl").rename(tmp_path / "out/lost")
    with pytest.raises(IntegrityError, match=r"its index crawl-00000\.jsonl is missing"):
        run(per_warc=1)


def test_two_crawls_do_not_share_a_folder(web, run, answer, tmp_path):
    caught = []

    def crawl_again(connection):
        with pytest.raises(InputError, match="another crawl is writing here"):
            run()
        caught.append(True)
        connection.sendall(answer("x"))

    web.answers["/"] = crawl_again
    run()
    assert caught == [True]
