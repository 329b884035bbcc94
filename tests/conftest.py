"""What every test may use."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.document import Document

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real pages, tokenizers and benchmark items; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("TOKENMILL_SHARED", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the shared test data is not at {folder}; set TOKENMILL_SHARED to its folder")
    return folder


@pytest.fixture
def make_doc() -> Callable[..., Document]:
    """Builds a Document around a text; every other field has a harmless value."""

    def build(text: str = "", **fields: Any) -> Document:
        return Document(**{"id": "test-doc", "url": "https://site.example/page", "text": text, **fields})

    return build
