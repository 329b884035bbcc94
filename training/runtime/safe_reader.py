"""Read a torch DCP folder without running what is in it.

DCP keeps its table of contents as a pickle, and pickles can run code; this reader builds the few plain classes the
table is made of and refuses everything else. Tensors are read with `weights_only=True`; DCP's third kind of entry,
pickled objects, is refused, and our checkpoints have none.
"""

import io
import pickle
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta, TensorStorageMetadata

from pipeline.contract.errors import InputError

_ALLOWED = {
    ("torch.distributed.checkpoint.metadata", name)
    for name in (
        "Metadata", "TensorStorageMetadata", "TensorProperties", "ChunkStorageMetadata", "MetadataIndex",
        "StorageMeta", "_MEM_FORMAT_ENCODING",
    )
} | {
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ("torch.serialization", "_get_layout"),
    ("torch", "Size"),
    ("pathlib", "PosixPath"),
    ("pathlib._local", "PosixPath"),
}  # fmt: skip


class _PlainUnpickler(pickle.Unpickler):
    """Knows the classes of DCP's table of contents, and dtypes."""

    def find_class(self, module: str, name: str) -> Any:
        dtype = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if (module, name) in _ALLOWED or dtype:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"asks for {module}.{name}, which no checkpoint needs")


class SafeReader(FileSystemReader):
    """A FileSystemReader for folders one need not trust.

    Raises:
        InputError: on reading, when the table of contents is damaged or holds what no checkpoint of ours has.
    """

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:  # noqa: ARG002 - the base class's signature
        metadata = read_table(Path(self.path))
        metadata.storage_meta = metadata.storage_meta or StorageMeta()
        metadata.storage_meta.load_id = self.load_id
        return metadata


def read_table(folder: Path) -> Metadata:
    """The table of contents of a DCP folder: names, shapes and places of its tensors.

    Raises:
        InputError: as for SafeReader.
    """
    path = folder / ".metadata"
    try:
        table = _PlainUnpickler(io.BytesIO(path.read_bytes())).load()
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror}") from error
    except Exception as error:  # a damaged pickle raises anything
        raise InputError(str(path), f"is no table of contents of a checkpoint: {error}") from error
    if not isinstance(table, Metadata) or not isinstance(table.storage_data, dict):
        raise InputError(str(path), "is no table of contents of a checkpoint")
    for place in table.storage_data.values():
        if Path(place.relative_path).name != place.relative_path:
            raise InputError(str(path), f"points outside its folder: '{place.relative_path}'")
    return table


def tensor_shapes(folder: Path) -> dict[str, torch.Size]:
    """The shape of every tensor in a DCP folder, by name.

    Raises:
        InputError: as for SafeReader.
    """
    entries = read_table(folder).state_dict_metadata.items()
    # Nothing else can be in a table that the unpickler built: BytesStorageMetadata is not among its classes.
    return {name: entry.size for name, entry in entries if isinstance(entry, TensorStorageMetadata)}
