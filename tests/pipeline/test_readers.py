"""Every table of a run folder is read by the libraries that people load corpora with.

Here those that the environment has anyway; DuckDB and polars are asked in tests/system (`make check-system`).
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from read_by_others import TABLES, make_runs, rows_of

from pipeline.steps.tables import EMPTY_PART


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("readers")
    make_runs(made)
    return made


def test_the_runs_hold_what_is_hard_to_read(folder):
    assert len(list(folder.glob(TABLES["full documents"]))) == 3
    assert len(list(folder.glob(TABLES["full dropped"]))) > 1
    assert len(list(folder.glob(TABLES["shard documents"]))) > 1
    assert [path.name for path in folder.glob(TABLES["bare dropped"])] == [EMPTY_PART]
    counts = [row["pii_counts"] for row in rows_of(f"{folder}/{TABLES['full documents']}")]
    assert [{"type": "EMAIL_ADDRESS", "count": 2}, {"type": "IP_ADDRESS", "count": 1}] in counts and [] in counts
    [bare] = folder.glob(TABLES["bare documents"])
    assert pq.read_schema(bare).field("signals").type == pa.struct([("none", pa.float64())])
    assert rows_of(f"{folder}/{TABLES['matches']}")


@pytest.mark.parametrize("name", TABLES)
def test_datasets_loads_it(folder, name, tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    pattern = f"{folder}/{TABLES[name]}"
    wanted = rows_of(pattern)
    options = {"data_files": pattern, "split": "train", "cache_dir": str(tmp_path)}
    assert list(datasets.load_dataset("parquet", streaming=True, **options)) == wanted
    if wanted:  # of no rows at all, `datasets` makes a stream alone
        assert datasets.load_dataset("parquet", **options).to_list() == wanted


@pytest.mark.parametrize("name", TABLES)
def test_pandas_loads_it(folder, name):
    pandas = pytest.importorskip("pandas")
    found = pandas.concat([pandas.read_parquet(path) for path in sorted(folder.glob(TABLES[name]))])
    wanted = rows_of(f"{folder}/{TABLES[name]}")
    assert len(found) == len(wanted)
    assert list(found.iloc[:, 0]) == [next(iter(row.values())) for row in wanted]
    if "pii_counts" in found:
        assert [list(row) for row in found["pii_counts"]] == [row["pii_counts"] for row in wanted]
