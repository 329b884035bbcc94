"""`tokenmill verify OUT`: every promise of the contract, checked against the bytes on disk."""

import collections
import dataclasses
import hashlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.contract import contamination
from pipeline.contract.errors import TokenmillError
from pipeline.contract.manifest import sha256_file
from pipeline.contract.run import Publication, RunRecord
from pipeline.contract.shards import ShardSet, open_shards
from pipeline.engine.ledger import FileEntry, Ledger, add_counts, committed_files
from pipeline.flow import add_up, read_commits
from pipeline.identity import remote_settings
from pipeline.sources.charset import codec_name
from pipeline.sources.reopen import InputReader, UnreachableInput
from pipeline.steps.dedup import index as kept_index
from pipeline.steps.registry import OPTIONAL
from pipeline.steps.tables import EMPTY_PART
from pipeline.tools.trace import COPIES

PUBLISHED = ("documents", "dropped", "quarantine", "tokens")
SAMPLE = 200
_KEY_COLUMNS = ["warc_path", "warc_offset", "id"]


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One promise: what was looked at, and what is wrong with it (nothing, if it holds)."""

    name: str
    looked_at: str
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the promise holds."""
        return not self.problems


Promise = Callable[[Path, RunRecord, int], tuple[str, list[str]]]


def verify(out: Path, *, sample: int = SAMPLE) -> Iterator[Check]:
    """Check a run folder, promise by promise.

    Args:
        out: the run folder.
        sample: how many documents to read again through their WARC pointers.

    Raises:
        InputError: `out` is no run folder.
    """
    record = RunRecord.read(out)
    promises: dict[str, Promise] = {
        "the run is complete": _complete,
        "run.json and what it seals are as written": _sealed,
        "nothing was lost": _conservation,
        "every file is as committed": _files,
        "no file is extra": _extra,
        "tables say what run.json says": _tables,
        "each candidate stands in one row": _unique,
        "copies are copies of pages that went on": _copies,
        "shards are as the manifest says": _shards,
        "shards hold the documents": _shard_documents,
        "pointers lead to their records": _pointers,
        "benchmark items are as the documents say": _contamination,
        "previous runs have what was dropped for them": _previous_runs,
        "text taken out is counted": _removed_text,
    }
    for name, promise in promises.items():
        try:
            looked_at, problems = promise(out, record, sample)
        except (TokenmillError, OSError, pa.ArrowException, KeyError) as error:
            looked_at, problems = "stopped", [f"{type(error).__name__}: {error}"]
        yield Check(name, looked_at, tuple(problems))


def _complete(out: Path, record: RunRecord, _: int) -> tuple[str, list[str]]:
    problems = [] if record.state == "done" else [f"run.json says '{record.state}': run the same build again"]
    problems += [f"{name} is missing" for name in (*PUBLISHED, "report.html") if not (out / name).exists()]
    return f"state {record.state}", problems


def _sealed(out: Path, record: RunRecord, _: int) -> tuple[str, list[str]]:
    problems = []
    if record.check is not None and record.check != record.checksum():
        problems.append("run.json has changed since it was written")
    for name, sha256 in record.sealed.items():
        if not (out / name).is_file():
            problems.append(f"{name} is missing")
        elif sha256_file(out / name) != sha256:
            problems.append(f"{name} has changed since the run was done (sha256 differs)")
    return f"run.json and {len(record.sealed)} files", problems


def _conservation(out: Path, record: RunRecord, _: int) -> tuple[str, list[str]]:
    totals = record.totals
    dropped = sum(totals.dropped.values())
    looked_at = f"{totals.read} read = {totals.kept} kept + {dropped} dropped + {totals.quarantined} quarantined"
    problems = [] if totals.balanced else [f"it does not add up: {looked_at}"]
    commits = read_commits(out)
    if add_up(commits) != totals:
        problems.append("the commits of the steps add up to other totals than run.json's")
    entering = totals.read
    for step, done in commits.items():
        counts = add_counts(done)
        read, kept = counts.get("read", 0), counts.get("kept", 0)
        if read != entering:
            problems.append(f"{entering} documents went into {step}, its commits count {read}")
        if read != kept + counts.get("dropped", 0) + counts.get("quarantined", 0):
            problems.append(f"the counts of {step} do not add up: {counts}")
        entering = kept
    return looked_at, problems


def expected_files(out: Path, record: RunRecord) -> list[FileEntry]:
    """The committed files that have to be there: of OUT/steps those that neither the build nor `publish` left out."""
    kept = bool(record.config.get("run", {}).get("keep_steps", True))
    indexed = (out / "steps" / kept_index.STEP / "files").is_dir()  # not in the copy that `remove` makes
    publication = Publication.read(out)
    some = publication is not None and publication.left_out > 0  # where `publish --steps` was broken off

    def is_kept(path: str) -> bool:
        return (out / path).is_file() if some else kept or (indexed and path.startswith(f"steps/{kept_index.STEP}/"))

    entries = committed_files(out).values()
    return [entry for entry in entries if not entry.path.startswith("steps/") or is_kept(entry.path)]


def _files(out: Path, record: RunRecord, _: int) -> tuple[str, list[str]]:
    entries, publication = expected_files(out, record), Publication.read(out)
    problems = []
    for entry in entries:
        path = out / entry.path
        if not path.is_file():
            problems.append(f"{entry.path} is missing")
        elif path.stat().st_size != entry.bytes:
            problems.append(f"{entry.path} has {path.stat().st_size} bytes, committed were {entry.bytes}")
        elif sha256_file(path) != entry.sha256:
            problems.append(f"{entry.path} has changed since it was committed (sha256 differs)")
    if not entries:
        problems.append("no commit names a file")
    looked_at = f"{len(entries)} files, {sum(entry.bytes for entry in entries):,} bytes"
    if publication and publication.left_out:
        looked_at += f"; {publication.left_out} intermediate files were not published"
    return looked_at, problems


def _extra(out: Path, _: RunRecord, __: int) -> tuple[str, list[str]]:
    known = {*committed_files(out), "tokens/manifest.json", "tokens/tokenizer.json"}
    known |= {f"{folder}/{EMPTY_PART}" for folder in ("dropped", "quarantine")}
    found = [
        path for folder in (*PUBLISHED, contamination.FOLDER) for path in (out / folder).rglob("*") if path.is_file()
    ]
    names = [path.relative_to(out).as_posix() for path in found]
    return f"{len(names)} files", [f"{name}: no task committed it" for name in names if name not in known]


def _tables(out: Path, record: RunRecord, _: int) -> tuple[str, list[str]]:
    totals = record.totals
    documents = _read(out / "documents", ["token_count", "copies"])
    dropped = _read(out / "dropped", ["step", "stage", "reason"])
    quarantined = _read(out / "quarantine", ["cause"])
    reasons = collections.Counter(".".join(row.values()) for row in dropped.to_pylist())
    tokens = pc.sum(pc.multiply(documents["token_count"].cast(pa.int64()), documents["copies"])).as_py() or 0
    pairs = {
        "documents": (len(documents), totals.kept),
        "tokens": (tokens, totals.tokens),
        "repeats": ((pc.sum(documents["copies"]).as_py() or 0) - len(documents), totals.repeats),
        "quarantined": (len(quarantined), totals.quarantined),
        **{f"dropped {name}": (reasons[name], totals.dropped.get(name, 0)) for name in {*reasons, *totals.dropped}},
    }
    problems = [
        f"{name}: {found} in the tables, {said} in run.json" for name, (found, said) in pairs.items() if found != said
    ]
    return f"{len(documents)} + {len(dropped)} + {len(quarantined)} rows", sorted(problems)


def _unique(out: Path, record: RunRecord, _: int) -> tuple[str, list[str]]:
    tables = [_read(out / folder, _KEY_COLUMNS) for folder in PUBLISHED[:3]]
    rows = [row for table in tables for row in table.to_pylist()]
    hashes = np.array([_hash(row) for row in rows], dtype=np.uint64)
    firsts, counts = np.unique(hashes, return_index=True, return_counts=True)[1:]
    twice = np.flatnonzero(counts > 1).tolist()
    problems = [f"{rows[int(firsts[i])]} stands in {counts[i]} rows" for i in twice]
    if len(rows) != record.totals.read:
        problems.append(f"{len(rows)} rows for {record.totals.read} candidates")
    return f"{len(rows)} rows", problems


def _copies(out: Path, record: RunRecord, sample: int) -> tuple[str, list[str]]:
    """Each page that `payload_digest` dropped names a page that it did not, of the same bytes."""
    dropped = _read(out / "dropped", [*_KEY_COLUMNS, "stage", "detail"])
    is_copy = pc.equal(dropped["stage"], COPIES)
    copies = dropped.filter(is_copy).to_pylist()
    if not copies:
        return "no copies", []
    folders = ("documents", "quarantine")
    others = [dropped.filter(pc.invert(is_copy)), *(_read(out / folder, _KEY_COLUMNS) for folder in folders)]
    wanted = pa.array(sorted({row["detail"] for row in copies}), pa.string())
    rows_by_table = [table.filter(pc.is_in(table["id"], value_set=wanted)).to_pylist() for table in others]
    originals = {row["id"]: row for rows in rows_by_table for row in rows}
    problems = [f"{row['id']} is called a copy of {row['detail']}, which did not go on"
                for row in copies if row["detail"] not in originals]  # fmt: skip
    pairs = [(row, originals[row["detail"]]) for row in copies if row["detail"] in originals]
    inputs, compared = InputReader(record, remote_settings(record)), 0
    for copy, original in random.Random(record.fingerprint).sample(pairs, min(sample, len(pairs))):
        try:
            copied, kept = (inputs.read(row["warc_path"], row["warc_offset"], row["id"]) for row in (copy, original))
        except UnreachableInput:
            continue
        compared += 1
        if (copied.body, codec_name(copied.charset)) != (kept.body, codec_name(kept.charset)):
            problems.append(f"{copy['warc_path']} at {copy['warc_offset']}: not the bytes of {original['id']}")
    lost = {row["id"] for row in rows_by_table[2]}
    of_lost = sum(row["detail"] in lost for row in copies)
    looked_at = f"{len(copies)} copies, {of_lost} of them of quarantined pages; {compared} compared"
    return looked_at + inputs.describe_unreachable(), problems


def _hash(row: dict[str, object]) -> int:
    text = "\0".join(str(row[name]) for name in _KEY_COLUMNS)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _shards(out: Path, record: RunRecord, _: int) -> tuple[str, list[str]]:
    shards = open_shards(out / "tokens", check_hashes=True)
    manifest, problems = shards.manifest, []
    if manifest.tokens != record.totals.tokens:
        problems.append(f"manifest.json says {manifest.tokens} tokens, run.json {record.totals.tokens}")
    if manifest.documents != record.totals.kept + record.totals.repeats:
        recorded = f"{record.totals.kept} kept and {record.totals.repeats} repeats"
        problems.append(f"manifest.json says {manifest.documents} documents, run.json {recorded}")
    for name in ("tokens", "documents"):
        total = sum(getattr(info, name) for info in manifest.shards)
        if total != getattr(manifest, name):
            problems.append(f"manifest.json: the shards' {name} add up to {total}, not {getattr(manifest, name)}")
    if sha256_file(out / "tokens" / "tokenizer.json") != manifest.tokenizer.sha256:
        problems.append("tokens/tokenizer.json is not the tokenizer that manifest.json names")
    problems += [problem for shard in shards.shards for problem in _bad_ids(shards, shard.path.name)]
    return f"{len(shards.shards)} shards, {manifest.tokens:,} tokens", problems


def _bad_ids(shards: ShardSet, name: str) -> Iterator[str]:
    tokenizer = shards.manifest.tokenizer
    shard = next(shard for shard in shards.shards if shard.path.name == name)
    if len(shard.tokens) == 0:
        return
    if int(shard.tokens.max()) >= tokenizer.vocabulary_size:
        yield f"{name}: an id is beyond the vocabulary"
    ends = shard.ends.astype(np.int64) - 1
    if (np.diff(ends) <= 0).any() or (shard.tokens[ends] != tokenizer.end_of_text_id).any():
        yield f"{name}: a document does not end with the end-of-text id"


def _shard_documents(out: Path, _: RunRecord, __: int) -> tuple[str, list[str]]:
    documents = _read(out / "documents", ["id", "token_count", "copies"]).to_pylist()
    wanted: collections.Counter[tuple[str, int]] = collections.Counter()
    for row in documents:
        wanted[row["id"], row["token_count"]] += row["copies"]
    shards = open_shards(out / "tokens").shards
    rows = [row for shard in shards for row in shard.docs().to_pylist()]
    found = collections.Counter((row["id"], row["length"]) for row in rows)
    problems = [f"document {name} ({length} tokens) is in no shard" for name, length in wanted - found]
    problems += [f"shards hold {name} ({length} tokens), documents/ do not" for name, length in found - wanted]
    return f"{len(rows)} documents", problems


def _pointers(out: Path, record: RunRecord, sample: int) -> tuple[str, list[str]]:
    table = _read(out / "documents", ["id", "url", "warc_path", "warc_offset"])
    chosen = sorted(random.Random(record.fingerprint).sample(range(len(table)), min(sample, len(table))))
    inputs, problems, read = InputReader(record, remote_settings(record)), [], 0
    for row in table.take(pa.array(chosen, pa.int64())).to_pylist():
        try:
            found = inputs.read(row["warc_path"], row["warc_offset"], row["id"])
            read += 1
        except UnreachableInput:
            continue
        except TokenmillError as error:
            read += 1
            problems.append(f"{row['warc_path']} at {row['warc_offset']}: {error}")
            continue
        if (found.id, found.url) != (row["id"], row["url"]):
            problems.append(f"{row['warc_path']} at {row['warc_offset']}: holds {found.url}, not {row['url']}")
    return f"{read} documents read again{inputs.describe_unreachable()}", problems


def _contamination(out: Path, _: RunRecord, __: int) -> tuple[str, list[str]]:
    """Matches against the tables of pages, and the counts of items against the matches."""
    if not Ledger(out, contamination.FOLDER).committed():
        return "no benchmarks were looked for", []
    rows = pq.read_table(out / contamination.MATCHES).to_pylist()
    items = pq.read_table(out / contamination.ITEMS).to_pylist()
    wanted = {(row["outcome"], *(row[name] for name in _KEY_COLUMNS)) for row in rows}
    for outcome, folder in (("kept", "documents"), ("dropped", "dropped"), ("quarantined", "quarantine")):
        for path in sorted((out / folder).glob("part-*.parquet")) if wanted else ():
            pages = pq.read_table(path, columns=_KEY_COLUMNS).to_pylist()
            wanted -= {(outcome, *(page[name] for name in _KEY_COLUMNS)) for page in pages}
    problems = [f"{where[-1]} is not {where[0]}, as matches.parquet says" for where in sorted(wanted)]
    counted = collections.Counter((row["benchmark"], row["item"], row["outcome"] == "kept") for row in rows)
    for row in items:
        name = f"{row['benchmark']} {row['item']}"
        found = tuple(counted.pop((row["benchmark"], row["item"], kept), 0) for kept in (True, False))
        if found != (row["kept"], row["dropped"]):
            problems.append(
                f"{name}: items.parquet says {row['kept']} kept and {row['dropped']} dropped, found {found}"
            )
    problems += [f"{benchmark} {item} is not in items.parquet" for benchmark, item, _ in sorted(counted)]
    return f"{len(rows)} matches of {len(items)} items", problems


def _removed_text(out: Path, record: RunRecord, _: int) -> tuple[str, list[str]]:
    """The characters that went into the optional steps, and the signals of the documents against the counts."""
    looked_at, problems = [], []
    for step in OPTIONAL:
        counts = add_counts(Ledger(out, step.name).committed())
        if not counts:
            continue
        after = sum(counts[f"characters_{what}"] for what in ("kept", "removed", "dropped"))
        if counts["characters_read"] != after:
            problems.append(f"{step.name}: {counts['characters_read']} characters went in, {after} are accounted for")
        for name in step.signals:
            counted, recorded = _sum_of_signal(out, step.stage, name), counts[f"{name}_removed"]
            fewer = counted < recorded and record.totals.kept == counts["kept"]  # later steps may drop documents
            if counted > recorded or fewer:
                problems.append(f"{step.name}: {recorded} {name} removed, the documents say {counted}")
        looked_at.append(f"{counts['characters_removed']:,} characters by {step.name}")
    return ", ".join(looked_at) or "nothing was taken out", problems


def _sum_of_signal(out: Path, stage: str, name: str) -> int:
    """The sum of a signal over OUT/documents, of which only its column is read."""
    total = 0
    for path in sorted((out / "documents").glob("part-*.parquet")):
        signals = pq.ParquetFile(path).read([f"signals.{stage}.{name}"])["signals"]
        total += int(pc.sum(pc.struct_field(signals, [stage, name])).as_py() or 0)
    return total


def _previous_runs(out: Path, record: RunRecord, _: int) -> tuple[str, list[str]]:
    """The documents of previous runs that `dropped` names, looked up where those runs still are."""
    rows = [row for row in _read(out / "dropped", ["detail", "match_run", "match_url"]).to_pylist() if row["match_run"]]
    problems, unreachable = [], []
    for run in sorted({row["match_run"] for row in rows}):
        place = record.previous_run(run)
        if place is None:
            unreachable.append(run)
            continue
        wanted = {row["detail"]: row["match_url"] for row in rows if row["match_run"] == run}
        for folder in PUBLISHED[:2]:  # what `remove` took out of a run later stands in `dropped`
            for path in sorted((place / folder).glob("part-*.parquet")):
                for row in pq.read_table(path, columns=["id", "url"]).to_pylist():
                    if wanted.get(row["id"], "") == row["url"]:
                        del wanted[row["id"]]
        problems += [f"{run} has no document {name}, {url}" for name, url in sorted(wanted.items())]
    looked_at = f"{len(rows)} documents of previous runs" if rows else "none were dropped for them"
    return looked_at + (f"; no longer there: {', '.join(unreachable)}" if unreachable else ""), problems


def _read(folder: Path, columns: list[str]) -> pa.Table:
    paths = sorted(folder.glob("part-*.parquet"))
    return (
        pa.concat_tables([pq.read_table(path, columns=columns) for path in paths])
        if paths
        else pa.table({name: [] for name in columns})
    )
