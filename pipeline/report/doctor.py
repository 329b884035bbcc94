"""`tokenmill doctor`: what this machine has for each part of tokenmill."""

import dataclasses
import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from pipeline.contract.errors import MissingAssetError
from pipeline.storage.assets import asset_path

_LIBRARIES = {
    "ray": "running on many cores and machines",
    "fastwarc": "reading WARC",
    "resiliparse": "decoding, fast extraction",
    "trafilatura": "extraction",
    "fasttext-numpy2-wheel": "language ID",
    "presidio-analyzer": "PII",
    "datatrove": "URL lists, its blocks as stages",
    "s3fs": "s3:// inputs",
    "torch": "training",
    "safetensors": "export",
    "transformers": "loading exports, evaluation",
    "lm-eval": "benchmarks",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked for."""

    what: str
    found: str
    ok: bool
    purpose: str


def examine() -> Iterator[Finding]:
    """Everything tokenmill may need, found or not."""
    yield Finding("Python", platform.python_version(), True, "all")
    yield Finding("CPUs", str(os.cpu_count()), True, "workers")
    free = shutil.disk_usage(Path.cwd()).free
    yield Finding("disk", f"{free / 1e9:.0f} GB free here", free > 1 << 30, "run folders")
    for name, purpose in _LIBRARIES.items():
        try:
            yield Finding(name, importlib.metadata.version(name), True, purpose)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, "not installed", False, purpose)
    try:
        yield Finding("lid.176.ftz", str(asset_path("lid.176.ftz")), True, "language ID")
    except MissingAssetError as error:
        yield Finding("lid.176.ftz", str(error.hint or "missing"), False, "language ID")
