"""Pages with what their main text is: parquet files with the columns of WCXB, and pages with phrases."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract.errors import InputError

SCHEMA = pa.schema(
    [
        ("id", pa.string()), ("url", pa.string()), ("domain", pa.string()), ("page_type", pa.string()),
        ("html", pa.binary()), ("main_content", pa.string()), ("must_have", pa.list_(pa.string())),
        ("must_not_have", pa.list_(pa.string())), ("silver", pa.list_(pa.string())),
    ]
)  # fmt: skip
"""Of a file of labelled pages. `main_content` null: only the phrases are known. `domain` and `page_type` may be null.
`silver`: texts of other extractors, whose agreement stands for a gold text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledPage:
    """A page and what is known of its main text."""

    id: str
    domain: str
    """Pages of one domain are never on both sides of a split."""
    page_type: str
    """Empty where it is not known."""
    html: bytes
    """In UTF-8."""
    gold: str | None
    """The main text; None: only the phrases are known."""
    wanted: Sequence[str] = ()
    """Phrases that are in the main text."""
    unwanted: Sequence[str] = ()
    """Phrases that are not."""
    silver: Sequence[str] = ()
    """Texts of other extractors."""


def read(paths: Sequence[Path]) -> Iterator[LabelledPage]:
    """The pages of parquet files, in order.

    Raises:
        InputError: a file cannot be read, or lacks a column.
    """
    for path in paths:
        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise InputError(str(path), f"cannot be read as parquet: {error}", hint="give labelled pages") from error
        if "html" not in table.column_names or not {"main_content", "must_have"} & set(table.column_names):
            problem = f"has the columns {', '.join(table.column_names)}"
            raise InputError(str(path), problem, hint="html and one of main_content, must_have are needed")
        for number, row in enumerate(table.to_pylist()):
            yield _page(row, f"{path}:{number}")


def _page(row: dict[str, Any], place: str) -> LabelledPage:
    page = row["html"] or b""
    url = row.get("url") or ""
    return LabelledPage(
        id=str(row.get("id") or place),
        domain=row.get("domain") or urlsplit(url).hostname or place,
        page_type=row.get("page_type") or "",
        html=page.encode("utf-8", "replace") if isinstance(page, str) else page.decode("utf-8", "replace").encode(),
        gold=row.get("main_content"),
        wanted=row.get("must_have") or (),
        unwanted=row.get("must_not_have") or (),
        silver=row.get("silver") or (),
    )
