import itertools
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dedup_step import document, families, files_of, letters, outcome, run_step, write_parts

import pipeline
from pipeline.dedup.config import DedupConfig, MinHashConfig, VerifyConfig
from pipeline.dedup.shingles import shingle
from pipeline.engine.settings import RaySettings
from pipeline.steps.dedup import step as dedup_step
from pipeline.steps.dedup.verification import CANDIDATES, SETS, VERIFIED

SUPPORT = Path(__file__).parents[3] / "support"
UNSEEN = DedupConfig(scope="global")


def verifying(min_jaccard=0.7, **options):
    # Bands of 3 rows let through most pairs from a similarity of 0.3 on.
    return DedupConfig(scope="global", minhash=MinHashConfig(
        bands=20, rows=3, verify=VerifyConfig(min_jaccard=min_jaccard, **options)))  # fmt: skip


def step(folder, rows, config, parts=1, **settings):
    write_parts(folder / "in", [rows[n::parts] for n in range(parts)])
    return run_step(folder / "in", folder / "out", config, **settings)


def similarities(rows):
    """Jaccard of all pairs, by position."""
    found = shingle([row["text"] for row in rows])
    sets = [set(found.shingles[a:b].tolist()) for a, b in itertools.pairwise(found.offsets.tolist())]
    return np.array([[len(a & b) / max(len(a | b), 1) for b in sets] for a in sets])


def connected(similar):
    """The components of a graph given as a matrix, as sets of positions."""
    left, found = set(range(len(similar))), []
    while left:
        component, edge = set(), {left.pop()}
        while edge:
            component |= edge
            edge = {int(n) for one in edge for n in np.flatnonzero(similar[one])} - component
        found.append(frozenset(component))
        left -= component
    return found


def clusters(rows, kept, dropped):
    """Of what came out, as sets of positions."""
    place = {row["id"]: n for n, row in enumerate(rows)}
    members = {row["id"]: {place[row["id"]]} for row in kept}
    for row in dropped:
        members[row["detail"]].add(place[row["id"]])
    return [frozenset(some) for some in members.values()]


@pytest.mark.parametrize("least", [0.5, 0.7, 0.9])
def test_clusters_are_those_of_the_pairs_that_are_similar_enough(tmp_path, least):
    rows = families(25, 5)
    similar = similarities(rows) >= least
    found = clusters(rows, *step(tmp_path, rows, verifying(least)))
    expected = connected(similar)
    for members in found:  # nobody goes who is not connected to the one that stays
        assert any(members <= component for component in expected)
    missed = len(found) - len(expected)  # at 0.5 a pair shares one of 20 bands of 3 with probability 0.93
    assert missed <= (2 if least == 0.5 else 0)


def test_a_pair_on_either_side_of_the_limit(tmp_path):
    words = [letters(n) for n in range(104)]  # 100 shingles
    rows = [document("a", " ".join(words)), document("b", " ".join([*words, *map(letters, range(900, 925))]))]
    assert similarities(rows)[0, 1] == 100 / 125
    for least, survivors in ((0.8, 1), (0.801, 2)):
        kept, _ = step(tmp_path / str(least), rows, verifying(least))
        assert len(kept) == survivors


def test_a_chain_is_joined_by_its_links_and_broken_where_one_is_missing(tmp_path):
    words = [letters(n) for n in range(1000)]
    chain = [document(f"{n:02d}", " ".join(words[20 * n : 20 * n + 104])) for n in range(20)]  # neighbours: 80 of 120
    kept, dropped = step(tmp_path / "whole", chain, verifying(0.66))
    assert [row["id"] for row in kept] == ["00"]
    assert len(dropped) == 19
    kept, _ = step(tmp_path / "broken", chain[:10] + chain[11:], verifying(0.66))
    assert [row["id"] for row in kept] == ["00", "11"]


@pytest.mark.parametrize("memory", [1 << 14, 1 << 18, 1 << 30])
def test_neither_order_nor_parts_nor_memory_change_the_survivors(tmp_path, memory, monkeypatch):
    rows = families(30, 6)
    rows += [{**row, "id": row["id"] + "-again"} for row in rows[::3]]
    config = verifying(anchors=2)
    wanted = outcome(*step(tmp_path / "whole", rows, config))
    assert 40 < len(wanted[0]) < 150
    monkeypatch.setattr(dedup_step, "MIN_GROUP", 30)
    random.Random(memory).shuffle(rows)
    assert outcome(*step(tmp_path / "parts", rows, config, 4, ray=RaySettings(memory_per_task=memory))) == wanted


def test_equal_texts_go_with_their_own(tmp_path):
    rows = families(3, 1, edits=(2,))
    rows = [{**row, "id": f"{row['id']}-{n:03d}"} for row in rows for n in range(50)]
    kept, dropped = step(tmp_path, rows, verifying(), 3)
    assert [row["cluster_size"] for row in kept] == [100, 100, 100]
    assert sorted({row["reason"] for row in dropped}) == ["exact_duplicate", "near_duplicate"]


def test_documents_that_are_all_the_same_are_not_compared(tmp_path):
    rows = [document(f"{n:06d}", "all of these are the very same page") for n in range(50_000)]
    kept, _ = step(tmp_path, rows, verifying())
    assert [(row["id"], row["cluster_size"]) for row in kept] == [("000000", 50_000)]
    assert sum(path.stat().st_size for path in (tmp_path / "out/steps" / SETS / "files").glob("*.shingles")) == 0
    assert sum(path.stat().st_size for path in (tmp_path / "out/steps" / VERIFIED / "files").glob("*")) == 0
    assert not (tmp_path / "out/steps" / CANDIDATES / "files").exists()


def test_documents_without_words_or_shingles(tmp_path):
    texts = ["", "", "word", "Word!", "...", "???", "two words", "one two three four"]
    kept, dropped = step(tmp_path, [document(str(n), text) for n, text in enumerate(texts)], verifying())
    assert [row["id"] for row in kept] == ["0", "2", "4", "5", "6", "7"]
    assert {(row["id"], row["detail"]) for row in dropped} == {("1", "0"), ("3", "2")}


@pytest.mark.parametrize("options", [(), ("verify",)])
def test_killed_in_every_phase_and_gone_on_with_gives_the_same_bytes(tmp_path, options):
    rows = families(20, 3)
    write_parts(tmp_path / "in", [rows[n::3] for n in range(3)])
    config = UNSEEN if not options else DedupConfig(scope="global", minhash=MinHashConfig(verify=VerifyConfig()))
    run_step(tmp_path / "in", tmp_path / "whole", config)
    paths = os.pathsep.join([str(SUPPORT), str(Path(pipeline.__file__).parents[1])])
    command = [sys.executable, SUPPORT / "dedup_kills.py", tmp_path / "in", tmp_path / "killed", *options]
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    phases = ["signatures", "edges", *(["candidates", "sets", "verified"] if options else []), "clusters", "members",
              "verdicts"]  # fmt: skip
    expected = [f"dedup-{phase} {place}" for phase in phases for place in ("files", "commits")]
    assert done.stdout.splitlines() == [*expected, "dedup files", "dedup commits"]
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")


def test_the_value_of_a_near_duplicate_is_its_exact_similarity_with_the_one_that_stays(tmp_path):
    rows = families(10, 5)
    rows += [{**row, "id": "0" + row["id"]} for row in rows[::2]]  # equal texts, of which another one stays
    similar, place = similarities(rows), {row["id"]: n for n, row in enumerate(rows)}
    _, dropped = step(tmp_path, rows, verifying(0.5), 3)
    near = [row for row in dropped if row["reason"] == "near_duplicate"]
    assert len(near) > 20
    for row in near:
        assert row["value"] == pytest.approx(similar[place[row["id"]], place[row["detail"]]], abs=1e-6)
        assert row["estimate"] == pytest.approx(row["value"], abs=0.25)  # 60 hashes: a standard error of 0.06
    assert {row["estimate"] for row in dropped if row["reason"] == "exact_duplicate"} == {None}
