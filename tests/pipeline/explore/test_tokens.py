"""Where a document's tokens stand, and what each id says, in shards made by hand."""

import hashlib
import json

import numpy as np
import pyarrow as pa
import pytest

from pipeline.contract.manifest import TokenizerInfo, TokensManifest
from pipeline.contract.shards import write_shard
from pipeline.explore.tokens import SHOWN, pieces, tokens_of
from pipeline.tokens.bpe_training import train_tokenizer
from pipeline.tokens.shuffle import document_key
from pipeline.tokens.tokenizer import load_tokenizer

SEED = 5
TEXTS = {"a": "caf\u00e9", "b": "\U0001f600", "c": "ccc", "d": "d" * (SHOWN + 1), "e": "e"}
LOWER_HALF = 1 << 63


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory):
    """A tokenizer of bytes alone: every byte is one id."""
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    train_tokenizer(["ab"], vocabulary_size=257, path=path)
    return path.read_bytes()


@pytest.fixture
def out(tmp_path, tokenizer_file):
    """Two shards with every document of TEXTS, `e` twice, in the order of their keys; end-of-text 0."""
    folder = tmp_path / "tokens"
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes(tokenizer_file)
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    copies = [(document_key(SEED, name, copy), name) for name in TEXTS for copy in range(1 + (name == "e"))]
    shards = []
    for number in range(2):
        rows, tokens = [], []
        for key, name in sorted(copies):
            if (key >= LOWER_HALF) == bool(number):
                ids = [*tokenizer.encode([TEXTS[name]])[0].tolist(), 0]
                rows.append(
                    {
                        "id": name,
                        "url": "",
                        "warc_path": "a",
                        "warc_offset": 1,
                        "start": len(tokens),
                        "length": len(ids),
                    }
                )
                tokens += ids
        path = folder / f"0000{number}.ds"
        shards.append(write_shard(path, np.array(tokens, np.uint16), pa.Table.from_pylist(rows)))
    info = TokenizerInfo(name="bytes", sha256=hashlib.sha256(tokenizer_file).hexdigest(), vocabulary_size=257,
                         end_of_text_id=0)  # fmt: skip
    TokensManifest(format_version=1, tokenizer=info, dtype="uint16", seed=SEED, documents=6, shards=tuple(shards),
                   tokens=sum(shard.tokens for shard in shards)).write(folder)  # fmt: skip
    return tmp_path


def look(out, name, *, decode=True, **fields):
    return tokens_of(out, {"id": name, "warc_path": "a", "warc_offset": 1, **fields}, decode=decode)


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_a_document_stands_in_the_shard_of_its_key_and_reads_as_its_text(out, name):
    found = look(out, name)
    [span] = found.spans
    assert found.problem == ""
    assert span.shard == ("00001.ds" if document_key(SEED, name) >= LOWER_HALF else "00000.ds")
    assert span.length == span.shown == len(TEXTS[name].encode()) + 1
    assert "".join(piece.text for piece in span.pieces) == TEXTS[name] + "<|endoftext|>"
    ids = [number for piece in span.pieces for number in piece.ids]
    stored = np.fromfile(out / "tokens" / span.shard, "<u2")[span.start : span.start + span.length]
    assert ids == stored.tolist()


def test_of_a_long_document_the_first_tokens_are_shown(out):
    [span] = look(out, "d").spans
    assert (span.length, span.shown) == (SHOWN + 2, SHOWN)
    assert look(out, "d", decode=False).spans[0].pieces == ()


def test_every_copy_is_found(out):
    assert len(look(out, "e", copies=2).spans) == 2
    assert len({(span.shard, span.start) for span in look(out, "e", copies=2).spans}) == 2


def test_a_document_that_is_not_there_is_told(out):
    for found in (look(out, "nobody"), look(out, "a", warc_offset=2)):
        assert (found.spans, found.problem) == ((), "not in the shard where its id and the seed put it")


def test_another_tokenizer_than_that_of_the_shards_reads_nothing(out):
    path = out / "tokens/tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=3))
    [span] = look(out, "c").spans
    assert (span.length, span.pieces) == (4, ())


def test_shards_that_are_gone_or_damaged_are_a_problem_and_no_error(out):
    for path in (out / "tokens").glob("*.docs*"):
        path.write_bytes(b"PAR1")
    assert look(out, "a").problem.startswith("the shards cannot be read: ")
    (out / "tokens/manifest.json").unlink()
    assert "holds no token shards" in look(out, "a").problem


def test_ids_of_one_character_stand_together_four_at_most(out):
    tokenizer = load_tokenizer(out / "tokens/tokenizer.json")
    ids = tokenizer.encode(["x\u00e9\U0001f600"])[0].tolist()
    assert [(piece.text, len(piece.ids)) for piece in pieces(tokenizer, ids)] == [
        ("x", 1), ("\u00e9", 2), ("\U0001f600", 4)]  # fmt: skip
    torn = [ids[1]] * 5  # a first byte five times is no character
    assert [len(piece.ids) for piece in pieces(tokenizer, torn)] == [4, 1]
    assert pieces(tokenizer, []) == []
