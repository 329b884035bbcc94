"""A million equal documents, documents of one word, empty ones, one of 50 MB: right and within memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dedup_step import SCHEMA

import pipeline

SUPPORT = Path(__file__).parents[3] / "support"
MEMORY = 256 << 20
PAGE = "\n".join(
    f"line {chr(97 + n % 26)}{chr(97 + n // 26)} of a page that was copied again and again" for n in range(40)
)


def word(number):
    """A word of letters for a number below 26^5."""
    return "".join(chr(97 + number // 26**place % 26) for place in range(5))


def write(folder, parts):
    """Parts of one text column each."""
    folder.mkdir()
    first = 0
    for number, texts in enumerate(parts):
        columns = {name: pa.nulls(len(texts), SCHEMA.field(name).type) for name in SCHEMA.names}
        columns |= {name: pa.repeat("", len(texts)) for name in ("url", "dump", "language", "warc_path")}
        columns |= {
            "warc_offset": pa.repeat(0, len(texts)),
            "cluster_size": pa.repeat(pa.scalar(1, pa.int32()), len(texts)),
        }
        columns |= {"id": pa.array([f"{first + n:08d}" for n in range(len(texts))]), "text": texts}
        pq.write_table(pa.table(columns, schema=SCHEMA), folder / f"{number}.parquet")
        first += len(texts)


def dedup(folder, parts, *options):
    """What dedup_hard.py prints of step 3 on the parts."""
    write(folder / "in", parts)
    paths = os.pathsep.join([str(SUPPORT), str(Path(pipeline.__file__).parents[1])])
    command = [sys.executable, SUPPORT / "dedup_hard.py", folder / "in", folder / "out", str(MEMORY), *options]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


WAYS = pytest.mark.parametrize("options", [(), ("verify",)], ids=["joined", "verified"])


@pytest.mark.slow
@pytest.mark.timeout(1800)
@WAYS
def test_a_million_equal_documents(tmp_path, options):
    found = dedup(tmp_path, [pa.repeat(PAGE, 100_000)] * 10, *options)
    assert (found["sizes"], found["dropped"]) == ({"00000000": 1_000_000}, {"exact_duplicate": 999_999})
    assert found["peak_mb"] < 1000


@pytest.mark.slow
@pytest.mark.timeout(1800)
@WAYS
def test_a_document_of_50_megabytes(tmp_path, options):
    long = " ".join(map(word, range(8_334_000)))
    assert len(long) > 50_000_000
    parts = [pa.array([long]), pa.array(["one two three four five six"]), pa.array([long + " and one more word"])]
    found = dedup(tmp_path, parts, *options)
    assert (found["sizes"], found["dropped"]) == ({"00000000": 2, "00000001": 1}, {"near_duplicate": 1})
    assert found["peak_mb"] < 1500


@WAYS
def test_many_documents_of_one_word_or_none(tmp_path, options):
    texts = [pa.array([*map(word, range(5000)), *[""] * 5000, *["?!"] * 1000]), pa.array([*map(word, range(5000))])]
    found = dedup(tmp_path, texts, *options)
    assert found["kept"] == 5002
    assert found["dropped"] == {"exact_duplicate": 5000 + 4999 + 999}
    assert found["sizes"]["00000000"] == 2
