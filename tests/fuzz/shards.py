"""Token shards of any bytes: they are opened, or the error names the file; what is opened can be read to its end."""

import functools
import json
from typing import Any

import numpy as np
import pyarrow as pa
from case import Case, Target, promise, refused
from mutate import as_json, mangle, mangle_tree

from pipeline.contract.errors import TokenmillError
from pipeline.contract.manifest import TokenizerInfo, TokensManifest
from pipeline.contract.shards import DOCS_SCHEMA, open_shards, write_shard
from training.config import PretrainConfig

_TOKENS, _VOCABULARY = 400, 300


@functools.cache
def _folder() -> dict[str, bytes]:
    """The files of a tokens/ folder of two shards."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as name:
        folder, infos = Path(name), []
        for number in range(2):
            tokens = (np.arange(_TOKENS, dtype=np.uint16) * 7) % (_VOCABULARY - 1)
            starts = np.arange(0, _TOKENS, 50)
            tokens[starts + 49] = _VOCABULARY - 1
            rows = [
                (f"d{number}-{i}", "https://site.example/", "a.warc.gz", i, int(start), 50)
                for i, start in enumerate(starts)
            ]
            docs = pa.table(
                dict(zip(DOCS_SCHEMA.names, map(list, zip(*rows, strict=True)), strict=True)), schema=DOCS_SCHEMA
            )
            infos.append(write_shard(folder / f"{number:05d}.ds", tokens, docs))
        tokenizer = TokenizerInfo(
            name="t", sha256="0" * 64, vocabulary_size=_VOCABULARY, end_of_text_id=_VOCABULARY - 1
        )
        TokensManifest(format_version=1, tokenizer=tokenizer, dtype="uint16", seed=0, tokens=2 * _TOKENS, documents=16,
                       shards=tuple(infos)).write(folder)  # fmt: skip
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _shards(case: Case) -> str:
    draw, files = case.draw, dict(_folder())
    broken = draw.choice(sorted(files))
    if draw.random() < 0.6:
        broken = "manifest.json"
        files[broken] = as_json(draw, mangle_tree(draw, json.loads(files[broken])))
    elif broken.endswith(".index") and draw.random() < 0.7:
        ends = np.frombuffer(files[broken], "<u8").copy()
        ends[draw.randrange(len(ends) - draw.choice((0, 1)))] = draw.choice((0, 1, 49, 60, 399, 401, 2**63, 2**64 - 1))
        files[broken] = ends.tobytes()
    else:
        files[broken] = mangle(draw, files[broken], list(files.values()))
    for name, data in files.items():
        case.file(name, data)
    said = []
    for use in (_open, _hashed, _train):
        try:
            use(case)
            said.append("read")
        except TokenmillError as error:
            said.append(refused(error))
    return f"{broken.partition('.')[2]}: {', '.join(said)}"


def _open(case: Case) -> None:
    for shard in open_shards(case.folder).shards:
        for number in range(len(shard.ends)):
            shard.document(number)
        for position in (0, len(shard.tokens) // 2, len(shard.tokens) - 1):
            if len(shard.tokens):
                promise(0 <= shard.document_at(position) < len(shard.ends), f"token {position} is in no document")
        shard.docs()


def _hashed(case: Case) -> None:
    shards = open_shards(case.folder, check_hashes=True)
    for shard in shards.shards:
        lengths = [len(shard.document(number)) for number in range(len(shard.ends))]
        promise(sum(lengths) == len(shard.tokens), f"the documents hold {sum(lengths)} of {len(shard.tokens)} tokens")
        promise(len(shard.docs()) == len(shard.ends), "the rows are not as many as the documents")


def _train(case: Case) -> None:
    """As training reads them: windows, what is held out, ids beyond the vocabulary."""
    from training.data.corpus import open_corpus
    from training.data.token_batches import WindowReader, training_batches

    config = _training(case)
    corpus = open_corpus(config)
    reader = WindowReader(length=16, vocab_size=corpus.tokenizer.vocabulary_size, document_mask=True)
    data = training_batches(config, corpus, reader, rank=0, size=1)
    for first in (0, 4):
        for batch in data.step(first):
            promise(int(batch.tokens.max()) < corpus.tokenizer.vocabulary_size, "an id is beyond the vocabulary")


def _training(case: Case) -> Any:
    from pipeline.contract.config import build

    tree = {"data": {"tokens": str(case.folder), "sequence_length": 16}, "batch": {"steps": 200, "tokens": 64},
            "run": {"output": "none"}, "validation": {"fraction": 0.2, "sequences": 2}}  # fmt: skip
    return build(PretrainConfig, tree, "fuzz")


def _warm_up() -> None:
    _folder()
    import training.data.token_batches  # noqa: F401 - torch takes a second


TARGETS = (Target("shards", _shards, _warm_up),)
