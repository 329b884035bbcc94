"""Builds on clusters of several Ray nodes, all on this machine: nodes die and come, the head is lost, same bytes."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from warc_pages import Page, article, write_warc

from pipeline.config import load_config
from pipeline.contract.run import RunRecord
from pipeline.flow import build
from pipeline.tools.verify import verify

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[3]
PUBLISHED = ("documents", "dropped", "quarantine", "tokens")
CONFIG = """
extract: [{main_text: {engine: resiliparse}}]
filter: [gopher_quality, gopher_repetition, c4, fineweb]
tokenize: {stages: [pii], train_tokenizer: {vocabulary_size: 500}, tokens_per_shard: 5000}
"""


def _environment(token: str | None) -> dict[str, str]:
    auth = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} if token else {"RAY_AUTH_MODE": "disabled"}
    return {**os.environ, **auth, "RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *filter(None, sys.path)])}  # fmt: skip


class Node:
    """A Ray node: everything that one `ray start` starts."""

    def __init__(self, environment: dict[str, str], log: Path, *options: str) -> None:
        command = [str(Path(sys.executable).with_name("ray")), "start", "--num-cpus=1", "--block",
                   "--object-store-memory=80000000", *options]  # fmt: skip
        with log.open("wb") as sink:
            self._starter = subprocess.Popen(
                command, env=environment, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL, start_new_session=True
            )
        until(lambda: "Ray runtime started" in log.read_text() or self._starter.poll() is not None)
        assert self._starter.poll() is None, log.read_text()

    def processes(self, name: str = "") -> list[psutil.Process]:
        """The node's processes whose command line holds `name`: they share a session."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                if os.getsid(process.pid) == self._starter.pid and name in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def kill_raylet(self) -> None:
        """SIGKILL of Ray's server on the node; its workers end with it."""
        (raylet,) = [process for process in self.processes("raylet/raylet") if "--node_ip" in str(process.cmdline())]
        raylet.kill()

    def end(self) -> None:
        """Kill all of it."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._starter.wait()


class Cluster:
    """A head and nodes on this machine, in a folder and at a port of their own."""

    def __init__(self, folder: Path, token: str | None = "0123456789abcdef" * 4) -> None:
        self._folder, self.environment, self._nodes = folder, _environment(token), 0
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.nodes: list[Node] = []
        self.address = ""

    def start_head(self) -> Node:
        """The head, with one CPU; again at the same port after it was lost."""
        log = self._log()
        node = Node(self.environment, log, "--head", f"--port={self._port}", f"--temp-dir={self._folder}",
                    "--include-dashboard=false")  # fmt: skip
        self.nodes.append(node)
        address = re.compile(r"--address='?([0-9.]+:[0-9]+)'?\s")  # printed bit by bit after "Ray runtime started"
        until(lambda: address.search(log.read_text()) is not None)
        (self.address,) = address.findall(log.read_text())[:1]
        return node

    def add_node(self) -> Node:
        """One more node, with one CPU."""
        node = Node(self.environment, self._log(), f"--address={self.address}")
        self.nodes.append(node)
        return node

    def end(self) -> None:
        """Kill all of them, the head last."""
        for node in reversed(self.nodes):
            node.end()

    def _log(self) -> Path:
        self._nodes += 1
        return self._folder / f"node-{self._nodes}.log"

    def build(self, crawl: Path, out: Path, *options: str) -> subprocess.Popen[str]:
        """A build on the cluster as a command of its own."""
        command = [sys.executable, "-m", "pipeline.cli", "build", f"{crawl}/build.yaml", "--output", str(out),
                   "--quiet", "--input", f"{crawl}/*.warc.gz", "--set", f"run.ray.address={self.address}",
                   *options]  # fmt: skip
        return subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                text=True)  # fmt: skip


@pytest.fixture
def make_cluster() -> Iterator[Callable[..., Cluster]]:
    """Makes clusters that end with the test; their folder has a short path, as sockets need."""
    made = []
    with tempfile.TemporaryDirectory(prefix="tm-ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:

        def make(**options: str | None) -> Cluster:
            made.append(Cluster(Path(folder), **options))
            return made[-1]

        try:
            yield make
        finally:
            for cluster in made:
                cluster.end()


@pytest.fixture(scope="module")
def crawl(tmp_path_factory) -> Path:
    """Twelve WARC files."""
    folder = tmp_path_factory.mktemp("crawl")
    for number in range(12):
        first = 100 * number
        pages = [Page(url=f"https://a.example/{first + i}", html=article(first + i)) for i in range(10)]
        pages += [Page(url=f"https://b.example/copy-{first}", html=article(first), date="2024-01-02T00:00:00Z"),
                  Page(url=f"https://a.example/gone-{first}", html=article(first), status="404 Not Found")]  # fmt: skip
        write_warc(folder / f"crawl-{number:02d}.warc.gz", pages)
    (folder / "build.yaml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def published(crawl, tmp_path_factory) -> dict[str, bytes]:
    """What a build without Ray publishes."""
    out = tmp_path_factory.mktemp("runs") / "local"
    build(load_config(crawl / "build.yaml", inputs=[f"{crawl}/*.warc.gz"], output=str(out), local=True), quiet=True)
    return files(out)


def files(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes()
            for folder in PUBLISHED for path in sorted((out / folder).rglob("*")) if path.is_file()}  # fmt: skip


def until(condition: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def commits(out: Path, step: str) -> list[Path]:
    return list(out.glob(f"steps/{step}/commits/*.json"))


def end_well(command: subprocess.Popen[str]) -> None:
    _, errors = command.communicate(timeout=240)
    assert command.returncode == 0, errors


def assert_published(out: Path, published: dict[str, bytes]) -> None:
    assert files(out) == published
    assert RunRecord.read(out).state == "done"
    assert [check.problems for check in verify(out) if not check.ok] == []


@contextlib.contextmanager
def ended(command: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """The command, killed at the end if it still runs."""
    try:
        yield command
    finally:
        command.kill()
        command.communicate()


def test_a_node_is_killed_and_another_added_while_a_build_runs(make_cluster, crawl, published, tmp_path):
    cluster, out = make_cluster(), tmp_path / "out"
    cluster.start_head()
    doomed = cluster.add_node()
    with ended(cluster.build(crawl, out)) as command:
        until(lambda: commits(out, "extract") and doomed.processes("ray::"))
        doomed.kill_raylet()
        added = cluster.add_node()
        worked: list[Sequence[psutil.Process]] = []

        def seen() -> bool:
            worked.extend(filter(None, [added.processes("ray::")]))
            return command.poll() is not None

        until(seen, 240)
        end_well(command)
    assert worked, "the node that was added was given nothing to do"
    assert_published(out, published)


def test_a_driver_is_killed_and_started_again_on_the_same_cluster(make_cluster, crawl, published, tmp_path):
    cluster, out = make_cluster(token=None), tmp_path / "out"
    cluster.start_head()
    cluster.add_node()
    with ended(cluster.build(crawl, out)) as command:
        until(lambda: len(commits(out, "extract")) > 1)
        command.kill()
    before = {path: path.stat().st_mtime_ns for path in commits(out, "extract")}
    with ended(cluster.build(crawl, out)) as command:
        end_well(command)
    assert {path: path.stat().st_mtime_ns for path in before} == before, "a committed task was done again"
    assert_published(out, published)


@pytest.mark.parametrize("at_once", [False, True])
def test_a_lost_head_is_told_and_the_same_command_goes_on(make_cluster, crawl, published, tmp_path, at_once):
    cluster, out = make_cluster(), tmp_path / "out"
    head = cluster.start_head()
    node = cluster.add_node()
    with ended(cluster.build(crawl, out)) as command:
        until(lambda: commits(out, "extract"))
        head.end()
        if at_once:  # another head at the same address knows nothing of the build
            node.end()
            cluster.start_head()
        _, errors = command.communicate(timeout=120)
    assert command.returncode == 1
    lines = [line for line in errors.splitlines() if cluster.address in line and "is gone" in line]
    assert lines == [f"ClusterGoneError: the Ray cluster at {cluster.address} is gone; "
                     "what is committed stays, the same command goes on from here"], errors  # fmt: skip
    assert "Traceback" not in errors
    assert RunRecord.read(out).state in ("failed", "running")  # the latter where a call to Ray never came back
    if not at_once:
        node.end()
        cluster.start_head()
    cluster.add_node()
    with ended(cluster.build(crawl, out)) as command:
        end_well(command)
    assert_published(out, published)


def test_a_frozen_node_holds_up_nothing(make_cluster, crawl, published, tmp_path):
    cluster, out = make_cluster(), tmp_path / "out"
    cluster.start_head()
    node = cluster.add_node()
    with ended(cluster.build(crawl, out, "--set", "run.ray.straggler_seconds=5")) as command:
        until(lambda: commits(out, "extract") and node.processes("ray::"))
        for process in node.processes():
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGSTOP)
        end_well(command)
    assert_published(out, published)


def test_stages_of_the_users_own_are_found_on_every_node(make_cluster, crawl, tmp_path):
    cluster, out = make_cluster(), tmp_path / "out"
    (tmp_path / "loud.py").write_text(
        "import dataclasses\nfrom pipeline.document import Drop\n\n"
        "@dataclasses.dataclass(frozen=True)\nclass NoSilver:\n"
        "    def __call__(self, doc):\n        return Drop('silver') if 'silver' in doc.text else doc\n"
    )
    cluster.start_head()
    cluster.add_node()
    with ended(cluster.build(crawl, out, "--stages", str(tmp_path), "--set", "filter=[loud.NoSilver]")) as command:
        end_well(command)
    assert RunRecord.read(out).totals.dropped["filter.loud.NoSilver.silver"] > 1
