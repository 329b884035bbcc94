"""The labelled pages that the shipped extractor was trained on, from the public repositories that hold them.

    python infra/extractor/labelled_pages.py FOLDER
    tokenmill extractor train FOLDER/wcxb-dev.parquet FOLDER/phrases.parquet --output MODEL

WCXB (Foley 2026, arXiv:2605.21097, CC BY 4.0): pages of seven types with their main text; the development split alone
is read. trafilatura's evaluation pages (Apache-2.0): phrases that are in the main text, or not; for the rest of a page
two extractors stand in where they agree. Pages named in held_out.txt are left out: they are for measuring.
"""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from trafilatura.utils import decode_file

from pipeline.extractor.labelled import SCHEMA
from pipeline.stages.main_text import MainText

REPOSITORIES = {
    "web-content-extraction-benchmark": ("Murrough-Foley", "c039d5e"),
    "trafilatura": ("adbar", "e90b0ef51ab026fdb905fb6c5b3c84dd3d784fd5"),
}
"""Owner and commit."""
HELD_OUT = Path(__file__).with_name("held_out.txt")


def main(folder: Path) -> None:
    """Write both files into `folder`."""
    for name, (owner, commit) in REPOSITORIES.items():
        if not (folder / name).is_dir():
            subprocess.run(["git", "clone", "--quiet", f"https://github.com/{owner}/{name}", folder / name], check=True)
        subprocess.run(["git", "-C", folder / name, "checkout", "--quiet", commit], check=True)
    _write(wcxb(folder / "web-content-extraction-benchmark", "dev"), folder / "wcxb-dev.parquet")
    _write(phrases(folder / "trafilatura" / "tests"), folder / "phrases.parquet")


def _write(rows: list[dict[str, Any]], path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path, compression="zstd")
    print(f"{path}: {len(rows):,} pages")


def wcxb(repository: Path, split: str) -> list[dict[str, Any]]:
    """The pages of a split of WCXB, with their gold text."""
    facts = json.loads((repository / "metadata.json").read_text("utf-8"))["files"]
    rows = []
    for path in sorted((repository / split / "ground-truth").glob("*.json")):
        truth = json.loads(path.read_text("utf-8"))
        page = gzip.decompress((repository / split / "html" / f"{path.stem}.html.gz").read_bytes())
        gold = truth["ground_truth"]
        rows.append({
            "id": path.stem, "url": truth.get("url"), "domain": facts[path.stem]["domain"],
            "page_type": facts[path.stem]["page_type"], "html": page.decode("utf-8", "replace").encode(),
            "main_content": gold.get("main_content") or "", "must_have": gold.get("with") or [],
            "must_not_have": gold.get("without") or [],
        })  # fmt: skip
    return rows


def phrases(tests: Path) -> list[dict[str, Any]]:
    """trafilatura's evaluation pages, with phrases and the texts of two extractors."""
    held_out = set(HELD_OUT.read_text("utf-8").split("\n"))
    engines = [MainText(engine="trafilatura", favor="balanced"), MainText(engine="resiliparse")]
    rows = []
    for url, item in sorted(json.loads((tests / "evaldata.json").read_text("utf-8")).items()):
        path = next(
            (tests / name / item["file"] for name in ("cache", "eval") if (tests / name / item["file"]).is_file()), None
        )
        if path is None or item["file"] in held_out:
            continue
        page = decode_file(path.read_bytes())
        rows.append({
            "id": item["file"], "url": url, "domain": urlsplit(url).hostname or item["file"],
            "html": page.encode("utf-8", "replace"), "must_have": item["with"], "must_not_have": item["without"],
            "silver": [engine.text_of(page) for engine in engines],
        })  # fmt: skip
    return rows


if __name__ == "__main__":
    main(Path(sys.argv[1]))
