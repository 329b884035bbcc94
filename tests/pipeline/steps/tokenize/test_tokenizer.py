"""The tokenizer of a run: given or trained, and never another one after a restart."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.contract.errors import InputError
from pipeline.steps.context import Part
from pipeline.steps.tokenize.config import TokenizeConfig, TrainTokenizer
from pipeline.steps.tokenize.tokenizer import NAME, tokenizer_for

TRAINED = TokenizeConfig(train_tokenizer=TrainTokenizer(vocabulary_size=300))


def part(folder, number, texts) -> Part:
    rows = [{"id": f"{number}-{at}", "text": text} for at, text in enumerate(texts)]
    path = folder / f"{number}.parquet"
    pq.write_table(pa.Table.from_pylist(rows, pa.schema([("id", pa.string()), ("text", pa.string())])), path)
    return Part(key=f"{number:05d}", path=path, rows=len(rows))


def test_the_given_one_is_copied_beside_the_shards_and_stays(tmp_path):
    source = tmp_path / "given.json"
    source.write_bytes(b"{}")
    path = tokenizer_for(TokenizeConfig(tokenizer=str(source)), tmp_path / "out", [], 0)
    assert path == str(tmp_path / "out" / NAME)
    source.write_bytes(b"other")
    tokenizer_for(TokenizeConfig(tokenizer=str(source)), tmp_path / "out", [], 0)
    assert (tmp_path / "out" / NAME).read_bytes() == b"{}"


def test_a_trained_one_does_not_depend_on_the_order_of_documents(tmp_path):
    texts = [f"word{n} and other words of text {n % 7}" for n in range(60)]
    one = tokenizer_for(TRAINED, tmp_path / "one", [part(tmp_path, 0, texts)], 0)
    parts = [part(tmp_path, 1, texts[30:][::-1]), part(tmp_path, 2, texts[:30])]
    other = tokenizer_for(TRAINED, tmp_path / "other", parts, 0)
    with open(one, "rb") as left, open(other, "rb") as right:
        assert left.read() == right.read()


def test_without_a_document_there_is_nothing_to_train_on(tmp_path):
    with pytest.raises(InputError, match="no document is left to train a tokenizer on") as caught:
        tokenizer_for(TRAINED, tmp_path / "out", [part(tmp_path, 0, [])], 0)
    assert f"the rows in {tmp_path / 'out' / 'dropped'} say why" in str(caught.value)
