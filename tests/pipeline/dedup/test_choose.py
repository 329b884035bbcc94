import numpy as np
import pyarrow as pa
import pytest

from pipeline.dedup.array_file import ArrayFile, write_arrays
from pipeline.dedup.choose import buckets_for, choose, read_verdicts, write_members
from pipeline.dedup.config import DedupConfig
from pipeline.dedup.keep import keep_orders, order_by_date
from pipeline.dedup.signing import Signer


def word(number):
    """A word for a number; digits would all be normalized to 0."""
    return "w" + "".join(chr(ord("a") + int(digit)) for digit in str(number))


BASE = [word(number) for number in range(400)]


def day(number):
    return np.datetime64("NaT", "ms") if number is None else np.datetime64(f"2024-01-{number:02d}", "ms")


def judge(tmp_path, groups, config, budget=1 << 30, buckets=1):
    """Verdicts by (group, row) on groups of (id, day, words, cluster) that are all members of clusters."""
    members = []
    for number, group in enumerate(groups):
        signer = Signer(config)
        texts = [" ".join(words) for _, _, words, _ in group]
        dates = np.array([day(d) for _, d, _, _ in group], "datetime64[ms]")
        orders = keep_orders(config.keep, pa.table({"text": pa.array(texts, pa.string()), "date": dates}))
        signer.add(texts, orders, [""] * len(group))
        write_arrays(tmp_path / f"{number}.arrays", signer.arrays())
        rows, roots = np.arange(len(group), dtype=np.uint64), np.array([c for *_, c in group], np.uint64)
        ids = [name for name, *_ in group]
        members.append(tmp_path / f"{number}.members")
        write_members(ArrayFile(tmp_path / f"{number}.arrays"), rows, roots, ids, buckets, members[-1])
    files = [tmp_path / f"{bucket}.verdicts" for bucket in range(buckets)]
    clusters = [choose(members, bucket, path, budget) for bucket, path in enumerate(files)]
    verdicts = {(g, row["row"]): row for g in range(len(groups)) for row in read_verdicts(files, g).to_pylist()}
    return sum(number for number, _ in clusters), verdicts


def kept(verdicts, groups):
    return {groups[g][row][0] for (g, row), verdict in verdicts.items() if verdict["kept"] is None}


GROUPS = [
    [("b", 3, BASE, 1), ("late", 9, [*BASE, "more"], 1), ("x", None, BASE[:200], 2)],
    [("a", 3, BASE[:300], 1), ("none", None, BASE, 1), ("y", None, BASE[:201], 2), ("w", None, BASE[:200], 2)],
]


def test_the_earliest_stays_and_ties_go_to_the_smallest_id(tmp_path):
    clusters, verdicts = judge(tmp_path, GROUPS, DedupConfig())
    assert clusters == 2
    assert kept(verdicts, GROUPS) == {"a", "w"}
    alike = {"jaccard": 1.0, "same_text": True, "old": None, "estimate": None}
    assert verdicts[1, 0] == {"row": 0, "kept": None, "cluster_size": 4, **alike}
    assert verdicts[0, 2] == {"row": 2, "kept": "w", "cluster_size": 3, **alike}
    near = verdicts[0, 0]  # 296 of its 396 shingles are the kept one's
    assert (near["kept"], near["same_text"], near["cluster_size"]) == ("a", False, 4)
    assert near["jaccard"] == pytest.approx(296 / 396, abs=0.15)


def test_the_longest_stays_and_ties_go_to_the_smallest_id(tmp_path):
    _, verdicts = judge(tmp_path, GROUPS, DedupConfig(keep="longest"))
    assert kept(verdicts, GROUPS) == {"late", "y"}


def test_neither_order_of_groups_nor_memory_nor_buckets_matter(tmp_path):
    _, wanted = judge(tmp_path, GROUPS, DedupConfig())
    for budget, buckets in ((1, 1), (1 << 30, 3), (1, 3)):
        _, found = judge(tmp_path, GROUPS, DedupConfig(), budget, buckets)
        assert found == wanted
    _, turned = judge(tmp_path, GROUPS[::-1], DedupConfig())
    assert {(1 - g, row): verdict for (g, row), verdict in turned.items()} == wanted


def test_one_of_two_documents_with_the_same_id_stays(tmp_path):
    groups = [[("same", 1, BASE, 5)], [("same", 1, BASE, 5)]]
    _, verdicts = judge(tmp_path, groups, DedupConfig())
    assert [verdicts[0, 0]["kept"], verdicts[1, 0]["kept"]] == [None, "same"]


def test_without_minhash_there_are_no_sketches(tmp_path):
    groups = [[("a", 1, BASE, 5), ("b", 2, BASE, 5)]]
    _, verdicts = judge(tmp_path, groups, DedupConfig(minhash=None))
    assert [(row["kept"], row["jaccard"], row["same_text"]) for row in verdicts.values()] == [
        (None, 1, True),
        ("a", 1, True),
    ]


def test_no_members(tmp_path):
    assert judge(tmp_path, [[], []], DedupConfig()) == (0, {})
    assert buckets_for(0, 1 << 30) == 1
    assert buckets_for(10_000_000, 1 << 30) == 4


def test_dates_are_ordered_and_none_is_last():
    dates = np.array(["0001-01-01", "1969-12-31T23:59:59.999", "2024-01-01", "9999-12-31", "NaT"], "datetime64[ms]")
    orders = order_by_date(dates).tolist()
    assert orders == sorted(set(orders))
    assert 0 < orders[0] < orders[-1] == 2**64 - 1
    assert orders[3] - orders[2] == int((dates[3] - dates[2]) / np.timedelta64(1, "us"))
