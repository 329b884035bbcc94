"""The global shuffle: an order that depends on the seed and the ids alone, in parts of any shape."""

import resource
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.contract.errors import IntegrityError
from pipeline.contract.manifest import TokenizerInfo, TokensManifest
from pipeline.contract.shards import docs_path, open_shards, shard_name
from pipeline.tokens import shuffle
from pipeline.tokens.shuffle import (
    KEYS,
    KeyRange,
    assemble_shard,
    document_key,
    merge_spools,
    plan_shards,
    write_spool,
)

SEED = 17
END = 50_256


def documents(count):
    """`count` documents with ids doc-0, doc-1, ...; document i has i % 7 + 1 ids i, then end-of-text."""
    rows = [(f"doc-{i}", f"https://site.example/{i}", f"{i % 3}.warc.gz", 100 * i) for i in range(count)]
    return rows, [np.array([i] * (i % 7 + 1) + [END], dtype=np.uint16) for i in range(count)]


def table(rows, **more):
    columns = dict(zip(("id", "url", "warc_path", "warc_offset"), zip(*rows, strict=True), strict=True))
    return pa.table({**columns, **more})


def spools_of(folder, rows, tokens, parts, dtype=np.uint16, **more):
    paths = []
    for part in range(parts):
        chosen = range(part, len(rows), parts)
        path = folder / f"spool-{parts}-{part}.parquet"
        repeat = {name: [values[i] for i in chosen] for name, values in more.items()}
        write_spool(path, table([rows[i] for i in chosen], **repeat), [tokens[i].astype(dtype) for i in chosen], SEED)
        paths.append(path)
    return paths


def build(folder, spools, total, tokens_per_shard, dtype="uint16"):
    folder.mkdir()
    ranges = plan_shards(total, tokens_per_shard)
    infos = [assemble_shard(spools, keys, folder / shard_name(i), dtype) for i, keys in enumerate(ranges)]
    manifest = TokensManifest(
        format_version=1,
        tokenizer=TokenizerInfo(name="t", sha256="0", vocabulary_size=50_257, end_of_text_id=END),
        dtype=dtype,
        seed=SEED,
        tokens=sum(info.tokens for info in infos),
        documents=sum(info.documents for info in infos),
        shards=tuple(infos),
    )
    manifest.write(folder)
    return manifest


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_key_is_the_keyed_blake2b_of_the_id():
    assert document_key(0, "doc-0") == 0x25B26B20516EED94
    assert document_key(17, "doc-0") == 0xC14F53729C6869AD
    assert document_key(17, "doc-0", copy=1) == 0xD251B48C13F803F8


def test_shards_hold_every_document_once_in_the_order_of_keys(tmp_path):
    rows, tokens = documents(200)
    total = sum(map(len, tokens))
    build(tmp_path / "out", spools_of(tmp_path, rows, tokens, 3), total, total // 3)
    opened = open_shards(tmp_path / "out", check_hashes=True)
    assert len(opened.shards) == 4  # 4 * (total // 3) > total > 3 * (total // 3)
    found = [row for shard in opened.shards for row in shard.docs().to_pylist()]
    expected = sorted(rows, key=lambda row: document_key(SEED, row[0]))
    assert [(row["id"], row["url"], row["warc_path"], row["warc_offset"]) for row in found] == expected
    ids = [shard.document(i).tolist() for shard in opened.shards for i in range(len(shard.ends))]
    assert ids == [tokens[int(row[0][4:])].tolist() for row in expected]


def test_bytes_do_not_depend_on_parts_their_order_merging_or_row_groups(tmp_path, monkeypatch):
    rows, tokens = documents(120)
    total = sum(map(len, tokens))
    build(tmp_path / "one", spools_of(tmp_path, rows, tokens, 1), total, 100)
    build(tmp_path / "many", spools_of(tmp_path, rows[::-1], tokens[::-1], 7)[::-1], total, 100)
    monkeypatch.setattr(shuffle, "_GROUP_BYTES", 40)
    small = spools_of(tmp_path, rows, tokens, 4)
    build(tmp_path / "small-groups", small, total, 100)
    merge_spools(small[:2], tmp_path / "left.parquet")
    merge_spools(small[:1:-1], tmp_path / "right.parquet")
    build(tmp_path / "merged", [tmp_path / "left.parquet", tmp_path / "right.parquet"], total, 100)
    assert len(files(tmp_path / "one")) == 3 * 6 + 1  # 594 tokens
    for other in ("many", "small-groups", "merged"):
        assert files(tmp_path / other) == files(tmp_path / "one"), other


def test_another_seed_is_another_order(tmp_path):
    keys = {seed: sorted(range(50), key=lambda i: document_key(seed, f"doc-{i}")) for seed in (0, 1, -1)}
    assert keys[0] != keys[1] != keys[-1] != keys[0]


def test_only_row_groups_of_the_range_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(shuffle, "_GROUP_BYTES", 40)
    rows, tokens = documents(200)
    [spool] = spools_of(tmp_path, rows, tokens, 1)
    file = pq.ParquetFile(spool)
    keys = KeyRange(KEYS // 2, KEYS // 2 + KEYS // 20)
    groups = shuffle._groups(file, keys)
    inside = sum(keys.start <= document_key(SEED, row[0]) < keys.stop for row in rows)
    assert inside > 3
    assert 0 < len(groups) <= inside + 2
    assert file.metadata.num_row_groups > 5 * len(groups)


def test_more_spools_than_a_process_may_open_files(tmp_path):
    rows, tokens = documents(90)
    spools = spools_of(tmp_path, rows, tokens, 90)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (sum(1 for _ in Path("/dev/fd").iterdir()) + 20, hard))
    try:
        info = assemble_shard(spools, KeyRange(0, KEYS), tmp_path / "x.ds", "uint16")
        assert merge_spools(spools, tmp_path / "merged").documents == info.documents == 90
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_damaged_spool_is_noticed(tmp_path, monkeypatch):
    rows, tokens = documents(5)
    monkeypatch.setattr(shuffle, "_little_endian", lambda ids: ids[:-1])
    [spool] = spools_of(tmp_path, rows, tokens, 1)
    with pytest.raises(IntegrityError, match=r"a document has \d ids, its row says \d"):
        assemble_shard([spool], KeyRange(0, KEYS), tmp_path / "x.ds", "uint16")


def test_keys_at_the_very_ends_of_the_range(tmp_path, monkeypatch):
    monkeypatch.setattr(shuffle, "document_key", lambda seed, name, copy=0: int(name))
    edge = KEYS // 2
    rows = [(str(key), "", "", 0) for key in (0, edge - 1, edge, KEYS - 1)]
    tokens = [np.array([i, END], dtype=np.uint16) for i in range(4)]
    write_spool(tmp_path / "s", table(rows), tokens, SEED)
    low, high = plan_shards(8, 4)
    assert assemble_shard([tmp_path / "s"], low, tmp_path / "0.ds", "uint16").documents == 2
    assert assemble_shard([tmp_path / "s"], high, tmp_path / "1.ds", "uint16").documents == 2
    assert np.fromfile(tmp_path / "0.ds", dtype="<u2").tolist() == [0, END, 1, END]
    assert np.fromfile(tmp_path / "1.ds", dtype="<u2").tolist() == [2, END, 3, END]


def test_documents_with_the_same_key_or_id_still_have_one_order(tmp_path, monkeypatch):
    monkeypatch.setattr(shuffle, "document_key", lambda seed, name, copy=0: 5)
    rows = [("b", "", "w", 1), ("a", "", "w", 9), ("b", "", "v", 3), ("b", "", "w", 0)]
    tokens = [np.array([i, END], dtype=np.uint16) for i in range(4)]
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        spools = []
        for i in order:
            spools.append(tmp_path / f"{i}.parquet")
            write_spool(spools[-1], table([rows[i]]), [tokens[i]], SEED)
        assemble_shard(spools, KeyRange(0, KEYS), tmp_path / "x.ds", "uint16")
        assert np.fromfile(tmp_path / "x.ds", dtype="<u2")[::2].tolist() == [1, 2, 3, 0]


def test_ranges_tile_all_keys():
    assert plan_shards(0, 10) == plan_shards(10, 10) == [KeyRange(0, KEYS)]
    assert plan_shards(11, 10) == [KeyRange(0, KEYS // 2), KeyRange(KEYS // 2, KEYS)]
    ranges = plan_shards(70, 10)
    assert [keys.start for keys in ranges[1:]] == [keys.stop for keys in ranges[:-1]]
    assert (len(ranges), ranges[0].start, ranges[-1].stop) == (7, 0, KEYS)
    with pytest.raises(ValueError, match="tokens_per_shard: must be positive, got 0"):
        plan_shards(10, 0)


def test_repeated_documents_lie_apart_and_dropped_ones_are_gone(tmp_path):
    rows, tokens = documents(40)
    repeat = [1] * 40
    repeat[3], repeat[4] = 3, 0
    spools = spools_of(tmp_path, rows, tokens, 2, repeat=repeat)
    once = spools_of(tmp_path, rows, tokens, 1)
    info = assemble_shard(spools, KeyRange(0, KEYS), tmp_path / "x.ds", "uint16")
    assert info.documents == 40 + 2 - 1
    order = pq.read_table(docs_path(tmp_path / "x.ds"))["id"].to_pylist()
    places = [i for i, name in enumerate(order) if name == "doc-3"]
    assert len(places) == 3
    assert places[2] - places[0] > 2
    assert "doc-4" not in order
    assemble_shard(once, KeyRange(0, KEYS), tmp_path / "y.ds", "uint16")
    plain = pq.read_table(docs_path(tmp_path / "y.ds"))["id"].to_pylist()
    kept = {document_key(SEED, "doc-3")}
    first = [n for n in order if n not in ("doc-3", "doc-4")]
    assert first == [n for n in plain if n not in ("doc-3", "doc-4")]
    assert document_key(SEED, "doc-3", 0) in kept
    assert document_key(SEED, "doc-3", 1) not in kept


def test_a_run_without_documents_has_one_empty_shard(tmp_path):
    empty = pa.table({"id": pa.array([], pa.string()), "url": pa.array([], pa.string()),
                      "warc_path": pa.array([], pa.string()), "warc_offset": pa.array([], pa.int64())})  # fmt: skip
    assert write_spool(tmp_path / "s", empty, [], SEED) == shuffle.SpoolStats(documents=0, tokens=0)
    manifest = build(tmp_path / "out", [tmp_path / "s"], 0, 100)
    assert (manifest.tokens, manifest.documents, len(manifest.shards)) == (0, 0, 1)
    assert assemble_shard([], KeyRange(0, KEYS), tmp_path / "n.ds", "uint32").tokens == 0
    assert open_shards(tmp_path / "out", check_hashes=True).shards[0].tokens.dtype == np.uint16


def test_wide_ids_keep_their_width(tmp_path):
    rows, tokens = documents(10)
    wide = [array.astype(np.uint32) + 70_000 for array in tokens]
    spools = spools_of(tmp_path, rows, wide, 2, dtype=np.uint32)
    assemble_shard(spools, KeyRange(0, KEYS), tmp_path / "x.ds", "uint32")
    found = np.fromfile(tmp_path / "x.ds", dtype="<u4")
    assert sorted(found.tolist()) == sorted(np.concatenate(wide).tolist())


def test_mixed_widths_and_missing_arrays_are_refused(tmp_path):
    rows, tokens = documents(2)
    with pytest.raises(ValueError, match="2 documents, but 1 token arrays"):
        write_spool(tmp_path / "s", table(rows), tokens[:1], SEED)
    with pytest.raises(ValueError, match="of dtype uint16, uint32"):
        write_spool(tmp_path / "s", table(rows), [tokens[0], tokens[1].astype(np.uint32)], SEED)
    with pytest.raises(ValueError, match="of dtype int64"):
        write_spool(tmp_path / "s", table(rows), [array.astype(np.int64) for array in tokens], SEED)
    with pytest.raises(ValueError, match="repeat: must be at least 0, got -1"):
        write_spool(tmp_path / "s", table(rows, repeat=[1, -1]), tokens, SEED)
    [spool] = spools_of(tmp_path, rows, tokens, 1)
    with pytest.raises(IntegrityError, match="holds uint16 ids, the run writes uint32"):
        assemble_shard([spool], KeyRange(0, KEYS), tmp_path / "x.ds", "uint32")


def test_datatrove_reads_the_shards(tmp_path):
    dataset = pytest.importorskip("datatrove.utils.dataset")
    rows, tokens = documents(60)
    total = sum(map(len, tokens))
    build(tmp_path / "out", spools_of(tmp_path, rows, tokens, 2), total, total // 2 + 1)
    opened = open_shards(tmp_path / "out")
    shard = opened.shards[0]
    windows = dataset.DatatroveFileDataset(str(shard.path), seq_len=9, token_size=2, return_positions=True)
    assert len(windows) == len(shard.tokens) // 10
    starts = np.repeat(shard.docs()["start"].to_numpy(), shard.docs()["length"].to_numpy())
    for number in range(len(windows)):
        window = slice(number * 10, number * 10 + 10)
        assert windows[number]["input_ids"].tolist() == shard.tokens[window].tolist()
        since = np.maximum(starts[window], number * 10)
        assert windows[number]["positions"].tolist() == (np.arange(number * 10, number * 10 + 10) - since).tolist()
    folder = dataset.DatatroveFolderDataset(str(tmp_path / "out"), seq_len=9, filename_pattern="*.ds", token_size=2)
    assert len(folder) == sum(len(shard.tokens) // 10 for shard in opened.shards)
    assert folder[len(windows)]["input_ids"].tolist() == opened.shards[1].tokens[:10].tolist()
