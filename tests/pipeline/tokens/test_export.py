"""Exports, each read back by a reader written from the format's specification."""

import itertools
import json
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.contract.errors import InputError, UserError
from pipeline.contract.manifest import TokenizerInfo, TokensManifest
from pipeline.contract.shards import shard_name, write_shard
from pipeline.tokens import export
from pipeline.tokens.export import ExportSummary, export_tokens

END = 50_256


def tokens_folder(path: Path, documents: list[list[list[int]]], dtype="uint16") -> Path:
    """A `tokens/` folder; documents[s][d] are the ids of document d of shard s, without end-of-text."""
    path.mkdir()
    infos = []
    for number, shard in enumerate(documents):
        closed = [[*ids, END] for ids in shard]
        lengths = np.array([len(ids) for ids in closed], dtype=np.int64)
        docs = pa.table({
            "id": [f"{number}-{i}" for i in range(len(shard))],
            "url": [f"https://site.example/{i}" for i in range(len(shard))],
            "warc_path": ["a.warc.gz"] * len(shard), "warc_offset": list(range(len(shard))),
            "start": np.cumsum(lengths) - lengths, "length": lengths,
        })  # fmt: skip
        flat = np.array([i for ids in closed for i in ids], dtype=dtype)
        infos.append(write_shard(path / shard_name(number), flat, docs))
    TokensManifest(
        format_version=1,
        tokenizer=TokenizerInfo(name="t", sha256="0", vocabulary_size=50_257, end_of_text_id=END),
        dtype=dtype,
        seed=0,
        tokens=sum(info.tokens for info in infos),
        documents=sum(info.documents for info in infos),
        shards=tuple(infos),
    ).write(path)
    return path


DOCUMENTS = [[[1, 2, 3], [], [4]], [[5] * 300, [6, 7]]]
CLOSED = [[*ids, END] for shard in DOCUMENTS for ids in shard]


@pytest.fixture
def source(tmp_path):
    return tokens_folder(tmp_path / "tokens", DOCUMENTS)


def read_megatron(prefix: Path) -> list[list[int]]:
    """Documents of a Megatron indexed dataset."""
    raw = prefix.with_suffix(".idx").read_bytes()
    assert raw[:9] == b"MMIDIDX\x00\x00"
    version, code, sequences, documents = struct.unpack_from("<QBQQ", raw, 9)
    dtype = {8: "<u2", 4: "<i4"}[code]
    lengths = np.frombuffer(raw, "<i4", sequences, 34)
    pointers = np.frombuffer(raw, "<i8", sequences, 34 + 4 * sequences)
    indices = np.frombuffer(raw, "<i8", documents, 34 + 12 * sequences)
    assert version == 1
    assert len(raw) == 34 + 12 * sequences + 8 * documents
    assert indices.tolist() == list(range(sequences + 1))
    data = prefix.with_suffix(".bin").read_bytes()
    return [np.frombuffer(data, dtype, n, p).tolist() for n, p in zip(lengths, pointers, strict=True)]


def read_mds(folder: Path) -> list[dict[str, object]]:
    """Samples of an MDS folder."""
    index = json.loads((folder / "index.json").read_text())
    assert index["version"] == 2
    samples = []
    for entry in index["shards"]:
        raw = (folder / entry["raw_data"]["basename"]).read_bytes()
        assert len(raw) == entry["raw_data"]["bytes"]
        [count] = struct.unpack_from("<I", raw)
        assert count == entry["samples"]
        offsets = np.frombuffer(raw, "<u4", count + 1, 4)
        head = json.loads(raw[4 + 4 * (count + 1) : offsets[0]])
        assert head == {key: entry[key] for key in head}
        samples += [mds_sample(entry, raw[a:b]) for a, b in itertools.pairwise(offsets)]
    return samples


def mds_sample(entry: dict, raw: bytes) -> dict[str, object]:
    sizes, place = [], 0
    for size in entry["column_sizes"]:
        if size is None:
            [size] = struct.unpack_from("<I", raw, place)
            place += 4
        sizes.append(size)
    sample = {}
    for name, encoding, size in zip(entry["column_names"], entry["column_encodings"], sizes, strict=True):
        value = raw[place : place + size]
        place += size
        sample[name] = value.decode() if encoding == "str" else mds_array(encoding, value)
    assert place == len(raw)
    return sample


def mds_array(encoding: str, raw: bytes) -> list[int]:
    if encoding.count(":") == 2:  # the shape is in the encoding
        return np.frombuffer(raw, "<i4").tolist()
    assert raw[0] >> 2 == 1
    shape = np.frombuffer(raw, ["<u1", "<u2", "<u4"][raw[0] & 3], 1, 1)
    values = np.frombuffer(raw, "<i4", offset=1 + shape.itemsize)
    assert len(values) == shape[0]
    return values.tolist()


def test_megatron_holds_every_document_in_order(source, tmp_path):
    summary = export_tokens(source, tmp_path / "out", "megatron")
    assert read_megatron(tmp_path / "out" / "tokens") == CLOSED
    assert summary == ExportSummary(files=2, tokens=sum(map(len, CLOSED)), left_out=0)


def test_megatron_files_are_those_of_datatroves_writer(source, tmp_path):
    writer = pytest.importorskip("datatrove.pipeline.tokens.megatron_tokenizer")
    export_tokens(source, tmp_path / "out", "megatron")
    theirs = writer.MegatronTokenizedFile(str(tmp_path / "theirs"), "tokens", token_size=2)
    for ids in CLOSED:
        theirs.write(ids)
    theirs.close()
    for name in ("tokens.bin", "tokens.idx"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes()


def test_megatron_has_no_uint32(tmp_path):
    source = tokens_folder(tmp_path / "tokens", [[[70_000, 1]]], dtype="uint32")
    export_tokens(source, tmp_path / "out", "megatron")
    assert (tmp_path / "out" / "tokens.idx").read_bytes()[17] == 4  # int32
    assert read_megatron(tmp_path / "out" / "tokens") == [[70_000, 1, END]]


@pytest.mark.parametrize(("dtype", "magic", "version"), [("uint16", 20240520, 1), ("uint32", 20240801, 7)])
def test_llmc_has_end_of_text_before_each_document(tmp_path, dtype, magic, version):
    source = tokens_folder(tmp_path / "tokens", [*DOCUMENTS, []], dtype=dtype)
    assert export_tokens(source, tmp_path / "out", "llmc").files == 3
    found = []
    for number in range(3):
        raw = (tmp_path / "out" / f"train_{number:05d}.bin").read_bytes()
        header, ids = np.frombuffer(raw, "<i4", 256), np.frombuffer(raw, np.dtype(dtype), offset=1024)
        assert header.tolist() == [magic, version, len(ids), *[0] * 253]
        found.append(ids.tolist())
    assert found[0] == [END, 1, 2, 3, END, END, 4]
    assert found[1] == [END, *[5] * 300, END, 6, 7]
    assert found[2] == []


def test_a_shard_too_long_for_llmc(source, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_LLMC_MOST_TOKENS", 303)
    with pytest.raises(UserError, match=r"has 304 tokens; a llm\.c file holds at most 303"):
        export_tokens(source, tmp_path / "out", "llmc")
    assert {path.name for path in tmp_path.iterdir()} == {"tokens"}


def test_mds_holds_every_document_with_its_id_and_url(source, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_MDS_BYTES", 200)
    export_tokens(source, tmp_path / "out", "mds")
    samples = read_mds(tmp_path / "out")
    assert [sample["tokens"] for sample in samples] == CLOSED
    assert [sample["id"] for sample in samples] == ["0-0", "0-1", "0-2", "1-0", "1-1"]
    assert samples[3]["url"] == "https://site.example/0"
    assert len(list((tmp_path / "out").glob("shard.*.mds"))) == 3


def test_mds_windows_run_across_documents_and_shards(source, tmp_path):
    summary = export_tokens(source, tmp_path / "out", "mds", sequence_length=8)
    stream = [i for ids in CLOSED for i in ids]
    windows = [stream[start : start + 8] for start in range(0, len(stream) - 7, 8)]
    assert [sample["tokens"] for sample in read_mds(tmp_path / "out")] == windows
    assert (summary.tokens, summary.left_out) == (8 * len(windows), len(stream) - 8 * len(windows))
    assert summary.left_out == 311 % 8


def test_parquet_has_one_row_a_document(source, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_PARQUET_TOKENS", 5)
    export_tokens(source, tmp_path / "out", "parquet")
    tables = [pq.read_table(tmp_path / "out" / f"{number:05d}.parquet") for number in range(2)]
    assert pq.ParquetFile(tmp_path / "out" / "00000.parquet").metadata.num_row_groups == 2
    assert tables[0].schema.field("tokens").type == pa.list_(pa.uint16())
    rows = [row for table in tables for row in table.to_pylist()]
    assert [row["tokens"] for row in rows] == CLOSED
    assert (rows[4]["id"], rows[4]["warc_path"], rows[4]["warc_offset"]) == ("1-1", "a.warc.gz", 1)


@pytest.mark.parametrize("to", ["megatron", "llmc", "mds", "parquet"])
def test_an_empty_run_can_be_exported(tmp_path, to):
    source = tokens_folder(tmp_path / "tokens", [[]])
    assert export_tokens(source, tmp_path / "out", to).tokens == 0


def test_what_stands_in_the_way(source, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(UserError, match="exists already"):
        export_tokens(source, tmp_path / "full", "parquet")
    with pytest.raises(UserError, match=r"unknown format 'tfrecord'(.|\n)*known: megatron, llmc, mds, parquet"):
        export_tokens(source, tmp_path / "out", "tfrecord")
    with pytest.raises(UserError, match="is for mds alone, and at least 1; got 8 for llmc"):
        export_tokens(source, tmp_path / "out", "llmc", sequence_length=8)
    with pytest.raises(InputError, match="holds no token shards"):
        export_tokens(tmp_path / "full", tmp_path / "out", "llmc")
    (tmp_path / "empty").mkdir()
    assert export_tokens(source, tmp_path / "empty", "parquet").files == 2
