"""The JSON files of a run folder: written atomically, read strictly.

`tokens/manifest.json` is the wall between the halves; `run.json` says what a run was and what came of it.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import uuid
from pathlib import Path
from typing import Any, Literal, TypeVar

from pipeline.contract.config import build
from pipeline.contract.errors import ConfigError, InputError, IntegrityError, UserError

FORMAT_VERSION = 1
T = TypeVar("T")
Dtype = Literal["uint16", "uint32"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerInfo:
    """Which tokenizer made the ids."""

    name: str
    sha256: str
    vocabulary_size: int
    end_of_text_id: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ShardInfo:
    """One shard: its file name in `tokens/`, its size and the SHA-256 of its three files."""

    file: str
    tokens: int
    documents: int
    sha256: str
    index_sha256: str
    docs_sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TokensManifest:
    """`tokens/manifest.json`."""

    format_version: int
    tokenizer: TokenizerInfo
    dtype: Dtype
    seed: int
    tokens: int
    documents: int
    shards: tuple[ShardInfo, ...]

    def write(self, folder: Path) -> None:
        """Write `folder/manifest.json`, atomically."""
        write_json(folder / "manifest.json", dataclasses.asdict(self))

    @classmethod
    def read(cls, folder: Path) -> "TokensManifest":
        """The manifest of a `tokens/` folder.

        Raises:
            InputError: there is none, or it is not one this version reads.
        """
        path = folder / "manifest.json"
        if not path.is_file():
            hint = f"give the tokens/ folder of a run: {folder / 'tokens'}" if (folder / "tokens").is_dir() else None
            raise InputError(str(folder), "holds no token shards (manifest.json is missing)", hint=hint)
        tree = read_json(path)
        try:
            version = tree["format_version"]
            if version != FORMAT_VERSION:
                raise InputError(str(path), f"has format version {version}; this tokenmill reads {FORMAT_VERSION}")
        except (KeyError, TypeError) as error:
            raise InputError(str(path), f"is not a token manifest: {error}") from error
        return parse_record(cls, tree, path, "a token manifest")


def dtype_for(vocabulary_size: int) -> Dtype:
    """uint16 when every id of the vocabulary fits 65,536 values, else uint32."""
    return "uint16" if vocabulary_size <= 65_536 else "uint32"


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        InputError: it is missing or not JSON.
    """
    try:
        return parse_json(path, path.read_bytes())
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror}") from error


def parse_json(path: Path, content: bytes) -> Any:
    """The content of a JSON file whose bytes were read; raises InputError, naming `path`, when they are not JSON."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:  # JSONDecodeError and UnicodeDecodeError; brackets without end
        raise InputError(str(path), f"is not valid JSON: {error}") from error


def parse_record(cls: type[T], tree: Any, path: Path, what: str) -> T:
    """A dataclass from the tree of a JSON file, every value checked against its type.

    Args:
        cls: a dataclass with keyword-only fields, perhaps of other such.
        tree: what the file holds.
        path: the file.
        what: it should be, such as `a run record`.

    Raises:
        InputError: something is missing, unknown or of another type; the message names its key.
    """
    try:
        return build(cls, tree, "")
    except ConfigError as error:
        place = f"{error.place.strip(': ')}: " if error.place.strip(": ") else ""
        raise InputError(str(path), f"is not {what}: {place}{error.problem}") from error


def write_json(path: Path, tree: Any) -> None:
    """Write `tree` as JSON under a name unique to the attempt, then rename: readers see the old file or the new.

    Raises:
        UserError: the disk is full, or the folder is gone or cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        # A lone surrogate, which UTF-8 cannot hold, is written as JSON escapes it: `\ud800`.
        with temporary.open("w", encoding="utf-8", errors="backslashreplace") as sink:
            json.dump(tree, sink, ensure_ascii=False, indent=1)
            sink.write("\n")
            sink.flush()
            os.fsync(sink.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UserError(str(path), f"cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):  # a folder that is gone or may not be written any more
            temporary.unlink(missing_ok=True)


def sha256_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def check_sha256(path: Path, expected: str) -> None:
    """Raise IntegrityError unless the file's SHA-256 is `expected`."""
    found = sha256_file(path)
    if found != expected:
        raise IntegrityError(f"{path}: sha256 is {found}, the manifest says {expected}")
