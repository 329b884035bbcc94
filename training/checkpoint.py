"""Checkpoints: a folder that is there whole or not at all.

    checkpoints/step-00000100/
        state/            torch DCP: tensors `model.NAME` and `optimizer.NAME.KEY`, in one part per process
        config.json       the resolved config; its `model` section builds the network
        tokenizer.json    a copy of the tokenizer
        checkpoint.json   kind, progress, provenance, and size and SHA-256 of every file; written last

A checkpoint is made under a name unique to the attempt and renamed when complete: a process killed at any moment leaves
the earlier ones as they were. Everything but the tensors is JSON, and nothing in the folder is ever unpickled freely
(`safe_reader`).
"""

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import re
import shutil
import uuid
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.state_dict_loader import load as load_state
from torch.distributed.checkpoint.state_dict_saver import save as save_state

from pipeline.contract.config import build
from pipeline.contract.errors import InputError, IntegrityError
from pipeline.contract.manifest import TokenizerInfo, read_json, sha256_file, write_json
from pipeline.contract.yaml_text import Tree
from training.config import ModelConfig
from training.data.tokenizer import parse_tokenizer
from training.model.transformer import Transformer
from training.runtime.distributed import World, all_gather, copy_full_tensor
from training.runtime.safe_reader import SafeReader, tensor_shapes

FORMAT_VERSION = 2
_NAME = re.compile(r"step-(\d{8,})")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a run is; with the config it determines everything that comes next."""

    step: int = 0
    """Optimizer steps done."""
    sequences: int = 0
    """Sequences taken from the data order."""
    tokens: int = 0
    """Tokens trained on."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """What a checkpoint folder says about itself."""

    path: Path
    kind: str
    """Which command made it: pretrain or sft."""
    progress: Progress
    config: Tree
    """The resolved config of the run."""
    provenance: Tree
    """What it was made from: `tokenizer` (as in a token manifest), `init_from` (the SHA-256 of the parent's
    checkpoint.json, or null), and the data."""

    @property
    def model_config(self) -> ModelConfig:
        """The shape of the network.

        Raises:
            ConfigError: the `model` section of config.json does not fit this version.
        """
        return build(ModelConfig, self.config.get("model"), f"{self.path / 'config.json'}: model")

    @property
    def tokenizer_info(self) -> TokenizerInfo:
        """Name, SHA-256, vocabulary size and end-of-text id of the tokenizer.

        Raises:
            InputError: checkpoint.json does not say.
        """
        try:
            return TokenizerInfo(**self.provenance["tokenizer"])
        except (KeyError, TypeError) as error:
            raise InputError(str(self.path / "checkpoint.json"), f"has no tokenizer: {error!r}") from error

    @property
    def tokenizer_path(self) -> Path:
        """The copy of the tokenizer."""
        return self.path / "tokenizer.json"


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The parameters under their names in a checkpoint."""
    return {f"model.{name}": parameter for name, parameter in model.named_parameters()}


def save(
    folder: Path,
    tensors: Mapping[str, Tensor],
    progress: Progress,
    *,
    world: World,
    kind: str,
    config: Tree,
    tokenizer: bytes,
    provenance: Tree,
    files: Mapping[str, bytes] | None = None,
) -> Path:
    """Save a checkpoint in `folder`; every process must call it.

    Args:
        folder: the run's `checkpoints` folder.
        tensors: `model_tensors` and the optimizer's; sharded tensors are written in parts.
        tokenizer: content of tokenizer.json.
        files: more small files to lie beside it, by name.

    Returns:
        Its path.
    """
    final = folder / f"step-{progress.step:08d}"
    working = Path(all_gather(world, str(folder / f".{final.name}.{uuid.uuid4().hex}.tmp"))[0])
    (working / "state").mkdir(parents=True, exist_ok=True)
    writer = FileSystemWriter(working / "state", thread_count=min(4, os.cpu_count() or 1))
    with _no_process_group_warning():
        save_state(dict(tensors), storage_writer=writer, no_dist=not dist.is_initialized())
    hashes = all_gather(world, _hash_files(working, sorted((working / "state").glob(f"__{world.rank}_*"))))
    if world.main:
        small = {"config.json": _json_bytes(config), "tokenizer.json": tokenizer, **(files or {})}
        for name, content in small.items():
            (working / name).write_bytes(content)
        rest = [working / "state" / ".metadata", *(working / name for name in small)]
        manifest = {
            "format_version": FORMAT_VERSION,
            "kind": kind,
            **dataclasses.asdict(progress),
            "processes": world.size,
            "torch": torch.__version__,
            "provenance": provenance,
            "files": {name: entry for part in [*hashes, _hash_files(working, rest)] for name, entry in part.items()},
        }
        write_json(working / "checkpoint.json", manifest)
        _publish(working, final)
    all_gather(world, None)  # nobody goes on before it is there
    return final


def _publish(working: Path, final: Path) -> None:
    """Give a complete checkpoint its name; one of the same step (from before a resume) makes way first."""
    if final.exists():
        _remove(final)
    working.rename(final)
    handle = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    """Take the name away first: a half-removed folder is no checkpoint."""
    doomed = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    path.rename(doomed)
    shutil.rmtree(doomed)


def _hash_files(folder: Path, paths: list[Path]) -> dict[str, Tree]:
    with concurrent.futures.ThreadPoolExecutor(max_workers=4) as pool:
        hashes = list(pool.map(sha256_file, paths))
    return {
        str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": sha256}
        for path, sha256 in zip(paths, hashes, strict=True)
    }


def _json_bytes(tree: Any) -> bytes:
    return json.dumps(tree, ensure_ascii=False, indent=1).encode() + b"\n"


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a `checkpoints` folder, oldest first."""
    found = [path for path in folder.glob("step-*") if _NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def clean_up(folder: Path, *, keep: int | None, keep_every: int | None = None) -> None:
    """Remove what killed attempts left behind, and all but the newest `keep` checkpoints."""
    for leftover in folder.glob(".step-*.tmp"):
        shutil.rmtree(leftover)
    old = [] if keep is None else list_checkpoints(folder)[:-keep]
    for path in old:
        if keep_every is None or int(path.name.removeprefix("step-")) % keep_every:
            _remove(path)


def find(path: str | Path) -> Path:
    """The checkpoint that `path` means: itself, or the newest of a run folder or `checkpoints` folder.

    Raises:
        InputError: there is none.
    """
    path = Path(path)
    if (path / "checkpoint.json").is_file():
        return path
    for folder in (path, path / "checkpoints"):
        if found := list_checkpoints(folder):
            return found[-1]
    problem = "holds no checkpoint" if path.is_dir() else "is not there"
    raise InputError(str(path), problem, hint="give a run folder of train or sft, or one of its checkpoints/step-*")


def read(path: str | Path, *, check_hashes: bool = False) -> Checkpoint:
    """What a checkpoint says about itself, once all its files have been seen to be there.

    Args:
        path: see `find`.
        check_hashes: also recompute every SHA-256 (reads everything).

    Raises:
        InputError: no checkpoint, one of another version, or a file that is missing or has another size.
        IntegrityError: a checksum differs.
    """
    path = find(path)
    manifest = read_json(path / "checkpoint.json")
    config = read_json(path / "config.json")
    try:
        version = manifest["format_version"]
        if version != FORMAT_VERSION:
            raise InputError(str(path), f"has format version {version}; this tokenmill reads {FORMAT_VERSION}")
        progress = Progress(**{field.name: int(manifest[field.name]) for field in dataclasses.fields(Progress)})
        files = {str(name): (int(entry["bytes"]), str(entry["sha256"])) for name, entry in manifest["files"].items()}
        kind, provenance = str(manifest["kind"]), dict(manifest["provenance"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(str(path / "checkpoint.json"), f"is not a checkpoint's: {error!r}") from error
    for name, (size, sha256) in files.items():
        _check_file(path, name, size, sha256 if check_hashes else None)
    if not isinstance(config, dict):
        raise InputError(str(path / "config.json"), "is not a config")
    return Checkpoint(path=path, kind=kind, progress=progress, config=config, provenance=provenance)


def _check_file(folder: Path, name: str, size: int, sha256: str | None) -> None:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(str(folder / "checkpoint.json"), f"names a file outside the checkpoint: '{name}'")
    if not path.is_file():
        raise InputError(str(path), "is missing; checkpoint.json names it")
    if path.stat().st_size != size:
        raise InputError(str(path), f"has {path.stat().st_size} bytes, checkpoint.json says {size}")
    if sha256 is not None and (found := sha256_file(path)) != sha256:
        raise IntegrityError(f"{path}: sha256 is {found}, checkpoint.json says {sha256}")


def load_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Fill `tensors` (whole, or sharded in any way) with what the checkpoint at `path` has under their names.

    Raises:
        InputError: it lacks one of them, or has it in another shape.
    """
    state = path / "state"
    shapes = tensor_shapes(state)
    for name, tensor in tensors.items():
        if name not in shapes:
            raise InputError(str(path), f"has no tensor '{name}'")
        if shapes[name] != tensor.shape:
            raise InputError(str(path), f"'{name}' is {tuple(shapes[name])}, not {tuple(tensor.shape)}")
    with _no_process_group_warning():
        load_state(dict(tensors), storage_reader=SafeReader(state), no_dist=not dist.is_initialized())


def load_weights(path: str | Path, model: Transformer) -> None:
    """Start `model` (plain or sharded) from the weights of another run; its vocabulary may be larger.

    Ids that are new to the model start from the mean of the ones it knew, which is a likely place for a token.

    Args:
        path: see `find`.

    Raises:
        InputError: see `read` and `load_tensors`; or the vocabulary would shrink.
    """
    found = read(path)
    known, wanted = found.model_config.known_vocab_size, model.config.known_vocab_size
    if wanted < known:
        raise InputError(str(found.path), f"has a vocabulary of {known}; the model's is smaller, {wanted}")
    tensors = model_tensors(model)
    grown = [name for name in ("model.embed.weight", "model.head.weight") if wanted > known and name in tensors]
    load_tensors(found.path, {name: tensor for name, tensor in tensors.items() if name not in grown})
    tables: dict[str, Tensor] = {name: torch.empty(tensor_shapes(found.path / "state")[name]) for name in grown}
    load_tensors(found.path, tables)
    with torch.no_grad():
        for name, table in tables.items():
            rows = torch.zeros(tensors[name].shape)
            rows[:known] = table[:known]
            rows[known:wanted] = table[:known].mean(dim=0)
            copy_full_tensor(tensors[name], rows)


def fingerprint(path: str | Path) -> str:
    """A name for a checkpoint's content: the SHA-256 of its checkpoint.json, which holds those of all its files."""
    return sha256_file(find(path) / "checkpoint.json")


@contextlib.contextmanager
def _no_process_group_warning() -> Iterator[None]:
    """DCP warns when there is no process group; one process needs none."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def load_for_inference(
    path: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> tuple[Transformer, Tokenizer, ModelConfig]:
    """The model, tokenizer and model config of a checkpoint; needs no process group.

    Args:
        path: see `find`.
        device: where the model goes.
        dtype: type of its parameters. None: bfloat16 on CUDA, float32 elsewhere.

    Raises:
        InputError: see `read` and `load_tensors`; or the tokenizer cannot be read.
    """
    checkpoint = read(path)
    config = checkpoint.model_config
    with torch.device("meta"):
        model = Transformer(config)
    model.to_empty(device="cpu")
    load_tensors(checkpoint.path, model_tensors(model))
    device = torch.device(device)
    model.to(device, dtype or (torch.bfloat16 if device.type == "cuda" else torch.float32))
    return model.eval().requires_grad_(False), load_tokenizer(checkpoint.tokenizer_path), config


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in a tokenizer.json.

    Raises:
        InputError: it is missing or not one.
    """
    if not path.is_file():
        raise InputError(str(path), "is missing")
    return parse_tokenizer(path.read_bytes(), str(path))
