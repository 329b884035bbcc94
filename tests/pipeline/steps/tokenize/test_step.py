"""Step 4: texts become ids, in spools and shards, and rows say how many."""

import numpy as np
import pytest
from step_runs import extracted, local_context, rows
from warc_pages import Page, article, write_warc

from pipeline.contract.errors import IntegrityError
from pipeline.contract.shards import open_shards
from pipeline.stages.main_text import MainText
from pipeline.steps.registry import TOKENIZE
from pipeline.steps.tables import signals_type
from pipeline.steps.tokenize import shards
from pipeline.steps.tokenize import step as tokenize_step
from pipeline.tokens.bpe_training import train_tokenizer
from pipeline.tokens.rehydrate import Rehydrate
from pipeline.tokens.tokenizer import load_tokenizer

PAGES = [Page(url=f"https://a.example/{n}", html=article(n)) for n in range(5)]


@pytest.fixture
def tokenizer(tmp_path) -> str:
    train_tokenizer([article(n) for n in range(5)], vocabulary_size=300, path=tmp_path / "t.json", split="gpt2")
    return str(tmp_path / "t.json")


def run(tmp_path, tokenizer, name="out", **fields):
    context = local_context(tmp_path / name)
    _, parts = extracted(context, [write_warc(tmp_path / "a.warc.gz", PAGES)], (MainText(engine="resiliparse"),))
    encoding = tokenize_step.Encoding(**{"tokenizer": tokenizer, "end_of_text": None, "seed": 0,
                                         "tokens_per_shard": 10**6, **fields})  # fmt: skip
    return context, tokenize_step.run(context, parts, (), signals_type(()), encoding)


def test_the_shards_hold_the_ids_of_the_documents(tmp_path, tokenizer):
    context, commits = run(tmp_path, tokenizer)
    [commit] = commits.values()
    kept = rows(context.out, commit, TOKENIZE.folder)
    encode = load_tokenizer(tokenizer).encode_documents
    assert [row["token_count"] for row in kept] == [len(ids) for ids in encode([row["text"] for row in kept])]
    assert {row["copies"] for row in kept} == {1} and commit.counts["repeats"] == 0
    opened = open_shards(context.out / "tokens", check_hashes=True)
    assert opened.manifest.tokens == commit.counts["tokens"] == sum(row["token_count"] for row in kept)
    [shard] = opened.shards
    by_id = {row["id"]: row["text"] for row in kept}
    first = shard.docs().slice(0, 1).to_pylist()[0]
    ids = np.asarray(shard.tokens[: first["length"]])
    assert ids.tolist() == list(encode([by_id[first["id"]]])[0])


def test_a_weight_of_nothing_leaves_documents_out_by_name(tmp_path, tokenizer):
    context, commits = run(tmp_path, tokenizer, rehydrate=Rehydrate(weights={1: 0.0}))
    [commit] = commits.values()
    assert (commit.counts["kept"], commit.counts["dropped"], commit.counts["tokens"]) == (0, 5, 0)
    assert {(row["stage"], row["reason"]) for row in rows(context.out, commit, "dropped")} == {
        ("rehydrate", "left_out")
    }


def test_shards_that_do_not_hold_every_token_are_refused(tmp_path, tokenizer):
    context, commits = run(tmp_path, tokenizer)
    [commit] = commits.values()
    spools = [context.out / entry.path for entry in commit.files if "spools" in entry.path]
    info = load_tokenizer(tokenizer).info
    again = local_context(tmp_path / "again")
    with pytest.raises(IntegrityError, match="tokens were encoded"):
        shards.write_shards(again, spools, commit.counts["tokens"] + 1, info, seed=0, tokens_per_shard=10**6)
