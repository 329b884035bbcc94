import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import load_config
from pipeline.contract.run import RunRecord
from pipeline.dedup.pairs import PairWriter, read_pairs
from pipeline.dedup.union_find import contract
from pipeline.engine.ledger import Ledger
from pipeline.engine.progress import PlainProgress
from pipeline.engine.runner import LocalRunner, open_runner
from pipeline.engine.settings import RunSettings
from pipeline.flow import build
from pipeline.report.status import run_status
from pipeline.steps.context import Context
from pipeline.steps.dedup import components
from pipeline.steps.dedup.components import edge_chunks, find_components, node_ranges, pass_name
from pipeline.tools.verify import verify

GROUPS = 12
SMALL = 1 << 17  # 512 rows in a block, 512 edges contracted at once
PER_GROUP = 250


def key(index, per_group):
    index = np.asarray(index)
    return ((index // per_group).astype(np.uint64) << np.uint64(32)) | (index % per_group).astype(np.uint64)


def shuffled_chain(nodes, rng):
    order = rng.permutation(nodes)
    chain = np.column_stack([order[:-1], order[1:]])
    return chain[rng.permutation(len(chain))]


def graphs(nodes=GROUPS * PER_GROUP):
    rng = np.random.default_rng(0)
    yield "chain in random order", shuffled_chain(nodes, rng)
    yield "chain in order", np.column_stack([np.arange(nodes - 1), np.arange(1, nodes)])
    yield "chain back and forth", np.column_stack([np.arange(nodes // 2), nodes - 1 - np.arange(nodes // 2)])
    yield "star around the smallest", np.column_stack([np.arange(1, nodes), np.zeros(nodes - 1, int)])
    yield "star around the largest", np.column_stack([np.arange(nodes - 1), np.full(nodes - 1, nodes - 1)])
    yield "star around one in the middle", np.column_stack([np.arange(nodes), np.full(nodes, nodes // 2)])
    yield "sparse", rng.integers(0, nodes, (nodes // 2, 2))
    yield "at the threshold of a giant", rng.integers(0, nodes, (nodes * 11 // 20, 2))
    yield "dense", rng.integers(0, nodes, (nodes * 3, 2))
    hubs = [np.column_stack([hub + np.arange(250), np.full(250, hub)]) for hub in range(0, 2700, 225)]
    yield "chain of stars", np.concatenate(hubs)
    yield "pairs with repeats", np.repeat(rng.permutation(nodes).reshape(-1, 2), 3, axis=0)


GRAPHS = dict(graphs())


def store(out, edges, per_group, files=7):
    """The files of edges, as the step before leaves them: how many each has by path."""
    folder = out / "steps" / "dedup-edges" / "files"
    folder.mkdir(parents=True)
    edges = edges[edges[:, 0] != edges[:, 1]]
    found = {}
    for number, some in enumerate(np.array_split(np.sort(edges)[:, ::-1], files)):
        with PairWriter(folder / f"{number}") as writer:
            writer.append(key(some[:, 0], per_group), key(some[:, 1], per_group))
        found[folder / f"{number}"] = len(some)
    return found


def find(out, edges, per_group, memory, runner=None, **settings):
    context = Context(out=out, settings=RunSettings(**settings), runner=runner or LocalRunner(),
                      progress=PlainProgress(quiet=True))  # fmt: skip
    return find_components(context, edges, [per_group] * GROUPS, memory)


def pairs_of(slices):
    """All pairs, and the group each slice's documents are of."""
    found = [read_pairs(one.path, one.start, one.stop) for one in slices]
    for group, pairs in enumerate(found):
        assert (pairs[:, 0] >> np.uint64(32) == group).all()
    return np.concatenate(found)


def expected(edges):
    return np.column_stack(contract(np.concatenate([read_pairs(path) for path in edges])))


def passes(out):
    return sorted(path.name.removeprefix(components.CLUSTERS + "-") for path in (out / "steps").glob("*-clusters-*"))


@pytest.mark.parametrize("name", GRAPHS)
def test_passes_find_what_union_find_finds(tmp_path, name):
    edges = store(tmp_path, GRAPHS[name], PER_GROUP)
    wanted = expected(edges)
    for memory in (SMALL, SMALL * 2):
        assert np.array_equal(pairs_of(find(tmp_path, edges, PER_GROUP, memory)), wanted), memory
        assert "01-large" in passes(tmp_path)
        shutil.rmtree(tmp_path / "steps" / components.CLUSTERS)
    assert np.array_equal(pairs_of(find(tmp_path, edges, PER_GROUP, 1 << 30)), wanted)


@pytest.mark.parametrize("most", [1, 2, 5])
def test_neither_ranges_nor_files_change_the_components(tmp_path, monkeypatch, most):
    monkeypatch.setattr(components, "MAX_TASKS", most)
    for files in (1, 4, 11):
        out = tmp_path / f"{files}"
        edges = store(out, GRAPHS["at the threshold of a giant"], PER_GROUP, files)
        assert np.array_equal(pairs_of(find(out, edges, PER_GROUP, SMALL)), expected(edges))
        assert len(Ledger(out, components.CLUSTERS).committed()) == most


def test_a_long_chain_takes_few_rounds(tmp_path):
    edges = store(tmp_path, shuffled_chain(10**5, np.random.default_rng(1)), 9000)
    found = pairs_of(find(tmp_path, edges, 9000, 1 << 21))  # 8,192 rows of 2 * 10^5 at once
    assert len(found) == 10**5
    assert (found[:, 1] == 0).all()
    assert 3 <= len(passes(tmp_path)) // 2 <= 10


def test_files_of_a_pass_go_when_the_next_is_complete_and_its_record_stays(tmp_path):
    edges = store(tmp_path, GRAPHS["chain in random order"], PER_GROUP)
    find(tmp_path, edges, PER_GROUP, SMALL)
    names = passes(tmp_path)
    assert names[:4] == ["00-contract", "01-large", "01-small", "02-large"]
    moved = []
    for name in names:
        commits = Ledger(tmp_path, f"{components.CLUSTERS}-{name}").committed().values()
        assert len(commits) > 1
        assert all(commit.files == () and commit.counts["edges"] >= 0 for commit in commits)
        assert not (tmp_path / "steps" / f"{components.CLUSTERS}-{name}" / "files").exists()
        moved.append(sum(commit.counts.get("moved", 0) for commit in commits))
    assert moved[-2:] == [0, 0]
    assert all(large + small > 0 for large, small in zip(moved[1:-2:2], moved[2:-2:2], strict=True))


class Killed(BaseException):
    """The driver is gone."""


class DyingRunner(LocalRunner):
    """Runs so many tasks; remembers which."""

    def __init__(self, tasks):
        self.left, self.done = tasks, []

    def map(self, function, tasks):
        for task in tasks:
            if hasattr(task, "key"):  # not a check of what is committed
                if self.left == 0:
                    raise Killed
                self.left -= 1
                self.done.append((function.__name__, getattr(task, "step", ""), task.key))
            yield function(task)


def test_status_shows_the_passes_in_order(tmp_path):
    edges = store(tmp_path, GRAPHS["chain of stars"], PER_GROUP)
    find(tmp_path, edges, PER_GROUP, SMALL)
    RunRecord(version="", versions={}, config={}, fingerprint="", seed=0, inputs=(), files={}, state="done").write(
        tmp_path
    )
    steps = run_status(tmp_path).steps
    names = [step.name.removeprefix(components.CLUSTERS) for step in steps]
    assert names == [f"-{name}" for name in passes(tmp_path)] + [""]
    assert all(step.committed == step.tasks and step.lost == 0 for step in steps)


def test_killed_after_every_task_no_task_is_done_twice(tmp_path):
    edges = store(tmp_path, GRAPHS["chain of stars"], PER_GROUP)
    whole = DyingRunner(10**6)
    wanted = pairs_of(find(tmp_path, edges, PER_GROUP, SMALL * 4, whole))
    for name in (tmp_path / "steps").glob("dedup-clusters*"):
        shutil.rmtree(name)
    done = []
    for _ in range(len(whole.done) + 1):
        runner = DyingRunner(1)
        with contextlib.suppress(Killed):
            found = find(tmp_path, edges, PER_GROUP, SMALL * 4, runner)
        done += runner.done
        named = [entry for path in (tmp_path / "steps").glob("dedup-clusters*")
                 for commit in Ledger(tmp_path, path.name).committed().values() for entry in commit.files]  # fmt: skip
        assert all((tmp_path / entry.path).stat().st_size == entry.bytes for entry in named)
    assert done == whole.done
    assert np.array_equal(pairs_of(found), wanted)


def test_files_left_by_a_kill_between_commit_and_deletion_are_deleted_then(tmp_path):
    edges = store(tmp_path, GRAPHS["sparse"], PER_GROUP)
    with pytest.raises(Killed):
        find(tmp_path, edges, PER_GROUP, SMALL, DyingRunner(len(edge_chunks(edges, SMALL))))
    first = tmp_path / "steps" / pass_name(0)
    shutil.copytree(first, tmp_path / "kept")
    ranges = len(node_ranges([PER_GROUP] * GROUPS, sum(edges.values()), SMALL))
    with pytest.raises(Killed):
        find(tmp_path, edges, PER_GROUP, SMALL, DyingRunner(ranges))
    assert not (first / "files").exists()
    shutil.rmtree(first)
    shutil.move(tmp_path / "kept", first)  # as if the pass after it had just been completed
    runner = DyingRunner(1)
    with pytest.raises(Killed):
        find(tmp_path, edges, PER_GROUP, SMALL, runner)
    assert runner.done == [("narrow", pass_name(2), f"00000-of-{ranges:05d}")]
    assert not (first / "files").exists()
    assert np.array_equal(pairs_of(find(tmp_path, edges, PER_GROUP, SMALL)), expected(edges))


@pytest.mark.parametrize("disturbed", ["a file is lost", "the memory is another"])
def test_passes_that_cannot_be_gone_on_with_begin_again(tmp_path, disturbed):
    edges = store(tmp_path, GRAPHS["dense"], PER_GROUP)
    tasks = len(edge_chunks(edges, SMALL))
    with pytest.raises(Killed):
        find(tmp_path, edges, PER_GROUP, SMALL, DyingRunner(tasks + 20))
    if disturbed == "a file is lost":
        next((tmp_path / "steps" / pass_name(1)).glob("files/*")).unlink()
    runner = DyingRunner(10**6)
    memory = SMALL if disturbed == "a file is lost" else SMALL * 8
    assert np.array_equal(pairs_of(find(tmp_path, edges, PER_GROUP, memory, runner)), expected(edges))
    assert runner.done[0][0] == "contract"


def test_sigkill_in_the_middle_and_other_workers(tmp_path):
    edges = store(tmp_path, GRAPHS["chain in random order"], PER_GROUP)
    wanted = {}
    find(tmp_path, edges, PER_GROUP, SMALL)
    for path in (tmp_path / "steps" / components.CLUSTERS / "files").iterdir():
        wanted[path.name] = path.read_bytes()
    script = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        sys.path[:0] = {sys.path!r}
        from pipeline.engine.progress import PlainProgress
        from pipeline.engine.runner import LocalRunner
        from pipeline.engine.settings import RunSettings
        from pipeline.steps.dedup.components import find_components
        from pipeline.steps.context import Context
        out = Path({str(tmp_path)!r})
        edges = {{Path(path): count for path, count in {[(str(path), count) for path, count in edges.items()]}}}
        context = Context(out=out, settings=RunSettings(), runner=LocalRunner(), progress=PlainProgress(quiet=True))
        find_components(context, edges, [{PER_GROUP}] * {GROUPS}, {SMALL})
    """)
    for folder in (tmp_path / "steps").glob("dedup-clusters*"):
        shutil.rmtree(folder)
    killed = 0
    for most in (10, 60, 130, 10**6):
        process = subprocess.Popen([sys.executable, "-c", script])
        while process.poll() is None and len(list(tmp_path.glob("steps/dedup-clusters*/commits/*.json"))) < most:
            time.sleep(0.001)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    assert killed >= 2
    found = {path.name: path.read_bytes() for path in Path(tmp_path, "steps", components.CLUSTERS, "files").iterdir()
             if not path.name.startswith(".")}  # fmt: skip
    assert found == wanted


def test_ray_workers_write_the_same_bytes(tmp_path):
    found = []
    for workers in (None, 2):
        out = tmp_path / f"{workers}"
        edges = store(out, GRAPHS["dense"], PER_GROUP)
        settings = RunSettings(workers=workers, local=workers is None)
        with open_runner(settings) as runner:
            find(out, edges, PER_GROUP, SMALL, runner)
        files = (out / "steps" / components.CLUSTERS / "files").iterdir()
        found.append({path.name: path.read_bytes() for path in files})
    assert len(found[0]) > 1
    assert found[0] == found[1]


def test_a_build_in_passes_is_the_build_in_memory_and_verifies(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.steps.dedup.step.MIN_GROUP", 100)
    words = [f"{'abcdefghij'[n % 10]}{'klmnopqrst'[n // 10 % 10]}{'uvwxyz'[n // 100]}" for n in range(600)]
    for part in range(4):
        rows = [{"text": " ".join(words[n : n + 40] + words[copy * 3 : copy * 3 + 2])} for n in range(part, 500, 20)
                for copy in range(5)]  # fmt: skip
        (tmp_path / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "c.yaml").write_text("tokenize: {train_tokenizer: {vocabulary_size: 300}}\ndedup: {scope: global}\n")
    found = {}
    for memory in (1 << 14, 1 << 30):
        out = tmp_path / f"{memory}"
        given = {"inputs": [f"{tmp_path}/*.jsonl"], "output": str(out), "local": True}
        build(load_config(tmp_path / "c.yaml", overrides=[f"run.memory={memory}"], **given), quiet=True)
        assert [check.problems for check in verify(out) if not check.ok] == []
        found[memory] = [hash_file(path) for path in sorted(out.glob("documents/*"))]
        assert bool(passes(out)) == (memory == 1 << 14)
    assert len(found[1 << 30]) == 4
    assert found[1 << 14] == found[1 << 30]


def hash_file(path):
    return path.name, hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_a_cluster_of_a_million(tmp_path):
    nodes = np.random.default_rng(0).permutation(1_200_000)[: 10**6]
    edges = store(tmp_path, np.column_stack([nodes[1:], nodes[np.arange(10**6 - 1) // 3]]), 100_000)
    found = pairs_of(find(tmp_path, edges, 100_000, 1 << 24))
    assert len(found) == 10**6
    assert (found[:, 1] == key(nodes.min(), 100_000)).all()


def test_ranges_are_whole_groups_of_about_as_many_documents():
    assert node_ranges([10] * 8, 1, 1 << 30) == [(0, 8)]
    assert node_ranges([10] * 8, 1000, 2 * 1000 * 64 * 4 // 4) == [(0, 2), (2, 4), (4, 6), (6, 8)]
    assert node_ranges([10] * 3, 10**6, 1) == [(0, 1), (1, 2), (2, 3)]
    assert node_ranges([1000, 1, 1, 1], 10**6, 1) == [(0, 1), (1, 4)]
    assert node_ranges([1, 1, 1, 1000], 10**6, 1) == [(0, 4)]
    assert node_ranges([0, 0, 5, 5], 10**6, 1) == [(0, 3), (3, 4)]


def test_edge_files_are_put_together_up_to_the_memory():
    sizes = {Path(f"{number}"): 100 for number in range(7)}
    assert [len(chunk) for chunk in edge_chunks(sizes, 300 * 2 * 128)] == [3, 3, 1]
    assert [len(chunk) for chunk in edge_chunks(sizes, 99 * 2 * 128)] == [1] * 7
    assert [len(chunk) for chunk in edge_chunks(sizes, 1 << 40)] == [7]
