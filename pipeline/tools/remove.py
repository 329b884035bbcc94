"""`tokenmill remove`: a copy of a run without some pages, tokens included; what left is on record.

The copy is a run folder like any other: `verify` holds on it, the removed documents stand in `dropped` as
`tokenize.takedown.domain` or `.url`, and shards that held none of them are the same bytes as before.
"""

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.contract.config import fingerprint
from pipeline.contract.errors import ConfigError, InputError, IntegrityError
from pipeline.contract.manifest import ShardInfo
from pipeline.contract.run import RunRecord
from pipeline.contract.shards import (
    DOCS_SCHEMA,
    Shard,
    ShardSet,
    Tokens,
    docs_path,
    index_path,
    open_shards,
    write_shard,
)
from pipeline.contract.tables import read_table
from pipeline.document import Drop
from pipeline.engine.ledger import Commit, FileEntry, Ledger
from pipeline.flow import add_up, read_commits
from pipeline.report import write_report
from pipeline.steps import contamination
from pipeline.steps.columns import to_table
from pipeline.steps.registry import TOKENIZE
from pipeline.steps.tables import DROPPED_SCHEMA, PLACE, DroppedRow, Place, dropped_row
from pipeline.steps.tokenize import shards
from pipeline.storage.files import write_table
from pipeline.tools.trace import in_domain

STAGE = "takedown"
_MAX_SHOWN = 20
_COPIED = ("dropped", "quarantine", "steps")


@dataclasses.dataclass(frozen=True, slots=True)
class Takedown:
    """Which pages go: those of the domains (subdomains included) and those with exactly these URLs."""

    domains: frozenset[str] = frozenset()
    urls: frozenset[str] = frozenset()

    def verdict(self, url: str) -> Drop | None:
        """Why a page with this URL goes, or None."""
        if url in self.urls:
            return Drop("url", detail=url)
        domain = next((domain for domain in sorted(self.domains) if in_domain(url, domain)), None)
        return Drop("domain", detail=domain) if domain else None

    def names(self) -> list[str]:
        """What is looked for."""
        return [*sorted(self.domains), *sorted(self.urls)]


@dataclasses.dataclass(frozen=True, slots=True)
class Removed:
    """What a removal did."""

    documents: int
    tokens: int
    shards_rewritten: int
    shards: int
    unmatched: tuple[str, ...]
    """Domains and URLs that no document is of."""


def read_urls(path: Path) -> frozenset[str]:
    """The URLs of a file, one a line; blank lines and lines that start with `#` are passed over.

    Raises:
        InputError: the file cannot be read, or names no URL.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(str(path), f"cannot be read: {error}") from error
    urls = frozenset(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    if not urls:
        raise InputError(str(path), "names no URL", hint="give a file with one URL a line")
    return urls


def remove(out: Path, target: Path, takedown: Takedown) -> Removed:
    """Write to `target` the run of `out` without the pages of `takedown`.

    Raises:
        ConfigError: `target` exists already, or lies in `out`.
        InputError: `out` is no finished run folder, or no document of it is one of the pages.
        IntegrityError: a folder of it is missing.
    """
    record = RunRecord.read(out)
    if record.state != "done":
        raise InputError(str(out), f"is {record.state}, not done", hint="run the build to its end first")
    if target.exists():
        raise ConfigError(str(target), "exists already", hint="give another --output")
    if target.resolve().is_relative_to(out.resolve()):
        raise ConfigError(str(target), f"lies in the run folder {out} itself", hint="give an --output outside it")
    missing = next((folder for folder in _COPIED if not (out / folder).is_dir()), None)
    if missing:
        raise IntegrityError(f"{out}: its folder {missing} is missing; `tokenmill verify` tells all that is damaged")
    unmatched = _unmatched(out, takedown)
    if len(unmatched) == len(takedown.names()):
        hint = "`tokenmill trace OUT --domain D` or `--url U` tells what became of a page"
        raise InputError(str(out), no_document_of(unmatched), hint=hint)
    work = target.with_name(f".{target.name}.partial")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for folder in _COPIED:
        shutil.copytree(out / folder, work / folder, ignore=_only_commits if folder == "steps" else None)
    removed_ids = _rewrite_documents(out, work, takedown)
    contamination.remove_pages(out, work, removed_ids)
    before = open_shards(out)
    rewritten = _rewrite_shards(before, work, removed_ids)
    removed = Removed(len(removed_ids), record.totals.tokens - _tokens(work), rewritten, len(before.shards), unmatched)
    _describe(record, work, takedown)
    work.rename(target)
    return removed


def no_document_of(names: Sequence[str]) -> str:
    """For people: domains and URLs that no document is of."""
    more = [f"{len(names) - _MAX_SHOWN} more"] if len(names) > _MAX_SHOWN else []
    return f"no document is of {', '.join([*names[:_MAX_SHOWN], *more])}"


def _unmatched(out: Path, takedown: Takedown) -> tuple[str, ...]:
    urls, domains = set(takedown.urls), set(takedown.domains)
    for commit in Ledger(out, TOKENIZE.name).committed().values():
        entry = commit.file(TOKENIZE.folder)
        for url in read_table(out / entry.path, columns=["url"])["url"].to_pylist() if entry else ():
            urls.discard(url)
            domains -= {domain for domain in domains if in_domain(url, domain)}
    return tuple(name for name in takedown.names() if name in urls or name in domains)


def _only_commits(folder: str, names: list[str]) -> list[str]:
    """Of steps/<step>/, only the commits are copied."""
    return [name for name in names if Path(folder).parent.name == "steps" and name != "commits"]


def _rewrite_documents(out: Path, work: Path, takedown: Takedown) -> dict[str, str]:
    """Write every documents part anew and commit it; the ids that are gone, with the reason."""
    removed_ids: dict[str, str] = {}
    for commit in Ledger(out, TOKENIZE.name).committed().values():
        entry = commit.file(TOKENIZE.folder)
        if entry is None:
            continue
        table = read_table(out / entry.path)
        verdicts = [takedown.verdict(url) for url in table["url"].to_pylist()]
        kept = table.filter(pa.array([verdict is None for verdict in verdicts], pa.bool_()))
        leaving = [(row, verdict) for row, verdict in zip(_places(table), verdicts, strict=True) if verdict]
        removed_ids |= {row["id"]: f"{TOKENIZE.name}.{STAGE}.{verdict.reason}" for row, verdict in leaving}
        rows = [dropped_row(row, TOKENIZE.name, STAGE, verdict) for row, verdict in leaving]
        _commit(work, commit, entry, kept, rows)
    return removed_ids


def _places(table: pa.Table) -> list[Place]:
    places: list[Place] = table.select(list(PLACE)).to_pylist()
    return places


def _commit(work: Path, commit: Commit, documents: FileEntry, kept: pa.Table, rows: Sequence[DroppedRow]) -> None:
    """Publish what stays of a part and what left it, with counts to match."""
    dropped = commit.file("dropped")
    others = tuple(
        entry for entry in commit.files if entry not in (documents, dropped) and "/spools/" not in entry.path
    )
    files = [_table(work, documents.path, kept)]
    if rows or dropped:
        path = dropped.path if dropped else f"dropped/part-{TOKENIZE.name}-{commit.key}.parquet"
        table = to_table(rows, DROPPED_SCHEMA)
        if dropped:
            table = pa.concat_tables([read_table(work / path), table])
        files.append(_table(work, path, table))
    counts = dict(commit.counts)
    for row in rows:
        name = f"dropped.{STAGE}.{row['reason']}"
        counts[name] = counts.get(name, 0) + 1
    counts["kept"] = counts.get("kept", 0) - len(rows)
    counts["dropped"] = counts.get("dropped", 0) + len(rows)
    copies = kept["copies"].to_pylist()
    counts["tokens"] = sum(count * copy for count, copy in zip(kept["token_count"].to_pylist(), copies, strict=True))
    counts["repeats"] = sum(copies) - len(copies)
    Ledger(work, TOKENIZE.name).replace(dataclasses.replace(commit, files=(*files, *others), counts=counts))


def _table(work: Path, path: str, table: pa.Table) -> FileEntry:
    info = write_table(work / path, table)
    return FileEntry(path=path, bytes=info.bytes, sha256=info.sha256, rows=len(table))


def _rewrite_shards(before: ShardSet, work: Path, removed_ids: Mapping[str, str]) -> int:
    """Copy the shards that hold none of the documents, write the others anew; how many those were."""
    folder = work / shards.TOKENS
    folder.mkdir()
    shutil.copyfile(before.folder / "tokenizer.json", folder / "tokenizer.json")
    infos, rewritten = [], 0
    for number, (shard, info) in enumerate(zip(before.shards, before.manifest.shards, strict=True)):
        docs = shard.docs()
        stays = np.array([name not in removed_ids for name in docs["id"].to_pylist()], dtype=bool)
        if stays.all():
            for path in (shard.path, index_path(shard.path), docs_path(shard.path)):
                shutil.copyfile(path, folder / path.name)
        else:
            info, rewritten = _write_without(shard, docs, stays, folder), rewritten + 1
        infos.append(info)
        _commit_shard(work, f"{number:05d}", info)
    tokens, documents = sum(info.tokens for info in infos), sum(info.documents for info in infos)
    dataclasses.replace(before.manifest, shards=tuple(infos), tokens=tokens, documents=documents).write(folder)
    return rewritten


def _write_without(shard: Shard, docs: pa.Table, stays: np.ndarray[Any, np.dtype[np.bool_]], folder: Path) -> ShardInfo:
    pieces = [shard.document(int(number)) for number in np.flatnonzero(stays)]
    tokens: Tokens = np.concatenate([shard.tokens[:0], *pieces])
    lengths = np.array([len(piece) for piece in pieces], dtype=np.int64)
    kept = docs.filter(pa.array(stays)).drop_columns(["start"])
    kept = kept.append_column("start", pa.array(np.cumsum(lengths) - lengths, pa.int64()))
    return write_shard(folder / shard.path.name, tokens, kept.select(DOCS_SCHEMA.names))


def _commit_shard(work: Path, key: str, info: ShardInfo) -> None:
    path = work / shards.TOKENS / info.file
    hashes: Mapping[Callable[[Path], Path], str] = {
        lambda path: path: info.sha256, index_path: info.index_sha256, docs_path: info.docs_sha256
    }  # fmt: skip
    files = tuple(
        FileEntry(path=f"{shards.TOKENS}/{place(path).name}", bytes=place(path).stat().st_size, sha256=sha256)
        for place, sha256 in hashes.items()
    )
    counts = {"documents": info.documents, "tokens": info.tokens}
    notes = {"shard": dataclasses.asdict(info)}
    Ledger(work, shards.SHARDS).replace(Commit(key=key, files=files, counts=counts, notes=notes))


def _tokens(work: Path) -> int:
    return open_shards(work).manifest.tokens


def _describe(record: RunRecord, work: Path, takedown: Takedown) -> None:
    """Write run.json and the report: the config says that the intermediate documents are not here."""
    identity = {"of": record.fingerprint, "domains": sorted(takedown.domains), "urls": sorted(takedown.urls)}
    config = {**record.config, "run": {**record.config.get("run", {}), "keep_steps": False}}
    totals = add_up(read_commits(work))
    record = dataclasses.replace(record, fingerprint=fingerprint(identity), config=config, totals=totals)
    write_report(work, record)
    record.write(work)
