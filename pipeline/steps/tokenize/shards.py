"""The second half of step 4: spools of tokenized parts become shards of one global, seeded order.

spools -> merged spools     one task per group of parts, where there are many
spools -> OUT/tokens        one task per shard
"""

import dataclasses
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from pipeline.contract.errors import IntegrityError
from pipeline.contract.manifest import FORMAT_VERSION, Dtype, ShardInfo, TokenizerInfo, TokensManifest, dtype_for
from pipeline.contract.shards import docs_path, index_path, shard_name
from pipeline.engine.ledger import Commit, FileEntry, Ledger
from pipeline.steps.context import Context
from pipeline.storage.files import write_atomic
from pipeline.tokens.shuffle import KeyRange, assemble_shard, merge_spools, plan_shards

SHARDS = "shards"
MERGED = "spools"
TOKENS = "tokens"
# Every shard opens every spool: above MANY of them, groups of GROUP are merged first. The same bytes come out.
MANY, GROUP = 500, 100


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MergeTask:
    """One group of spools."""

    key: str
    out: Path
    spools: tuple[Path, ...]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ShardTask:
    """One shard."""

    key: str
    out: Path
    number: int
    keys: KeyRange
    spools: tuple[Path, ...]
    dtype: Dtype


def write_shards(
    context: Context, spools: Sequence[Path], total: int, tokenizer: TokenizerInfo, *, seed: int, tokens_per_shard: int
) -> None:
    """Write OUT/tokens: the shards, then their manifest.

    Raises:
        IntegrityError: the shards do not hold the `total` tokens that were encoded.
    """
    if len(spools) > MANY:
        spools = _merge(context, spools)
    dtype = dtype_for(tokenizer.vocabulary_size)
    tasks = [
        ShardTask(key=f"{number:05d}", out=context.out, number=number, keys=keys, spools=tuple(spools), dtype=dtype)
        for number, keys in enumerate(plan_shards(total, tokens_per_shard))
    ]
    written = context.run(SHARDS, write_one_shard, tasks)
    shards = tuple(ShardInfo(**commit.notes["shard"]) for commit in written.values())
    tokens, documents = sum(shard.tokens for shard in shards), sum(shard.documents for shard in shards)
    if tokens != total:
        raise IntegrityError(f"{total} tokens were encoded, {tokens} stand in the shards")
    TokensManifest(
        format_version=FORMAT_VERSION, tokenizer=tokenizer, dtype=dtype, seed=seed,
        tokens=tokens, documents=documents, shards=shards,
    ).write(context.out / TOKENS)  # fmt: skip


def _merge(context: Context, spools: Sequence[Path]) -> list[Path]:
    groups = [tuple(spools[start : start + GROUP]) for start in range(0, len(spools), GROUP)]
    tasks = [MergeTask(key=f"{number:05d}", out=context.out, spools=group) for number, group in enumerate(groups)]
    return [context.out / commit.files[0].path for commit in context.run(MERGED, merge_group, tasks).values()]


def merge_group(task: MergeTask) -> Commit:
    """Merge one group of spools and commit the result."""
    name = f"steps/{MERGED}/files/part-{task.key}.parquet"
    info = write_atomic(task.out / name, lambda path: merge_spools(task.spools, path))
    entry = FileEntry(path=name, bytes=info.bytes, sha256=info.sha256)
    return Ledger(task.out, MERGED).commit(Commit(key=task.key, files=(entry,), counts={"spools": len(task.spools)}))


def write_one_shard(task: ShardTask) -> Commit:
    """Write one shard's three files beside their place, move them there, and commit."""
    folder = task.out / TOKENS
    attempt = folder / f".{uuid.uuid4().hex}.tmp"
    attempt.mkdir(parents=True)
    try:
        path = attempt / shard_name(task.number)
        info = assemble_shard(task.spools, task.keys, path, task.dtype)
        files = []
        for made, sha256 in (
            (path, info.sha256),
            (index_path(path), info.index_sha256),
            (docs_path(path), info.docs_sha256),
        ):
            size = made.stat().st_size
            made.replace(folder / made.name)
            files.append(FileEntry(path=f"{TOKENS}/{made.name}", bytes=size, sha256=sha256))
    finally:
        shutil.rmtree(attempt, ignore_errors=True)
    counts = {"documents": info.documents, "tokens": info.tokens}
    commit = Commit(key=task.key, files=tuple(files), counts=counts, notes={"shard": dataclasses.asdict(info)})
    return Ledger(task.out, SHARDS).commit(commit)
