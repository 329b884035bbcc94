"""Every table of a run folder is read by DuckDB and polars, which the environment does not have."""

from pathlib import Path

import pytest
from read_by_others import TABLES, make_runs, rows_of

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("readers")
    make_runs(made)
    return made


@pytest.mark.parametrize("name", TABLES)
def test_duckdb_loads_it(folder, name):
    duckdb = pytest.importorskip("duckdb")
    pattern = f"{folder}/{TABLES[name]}"
    found = duckdb.connect().sql(f"SELECT * FROM read_parquet('{pattern}', union_by_name = false)")
    assert [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()] == rows_of(pattern)


@pytest.mark.parametrize("name", TABLES)
def test_polars_loads_it(folder, name):
    polars = pytest.importorskip("polars")
    pattern = f"{folder}/{TABLES[name]}"
    assert polars.read_parquet(pattern).to_dicts() == rows_of(pattern)
    assert polars.scan_parquet(pattern).collect().to_dicts() == rows_of(pattern)
