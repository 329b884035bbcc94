"""Named numpy arrays in one file, any slice of which is read without the rest.

b"TMARRAYS", the length of the header (little-endian uint64), the header (JSON: name -> [dtype, shape, offset]), the
arrays, each starting at a multiple of 8 bytes, little-endian. The same arrays make the same bytes.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.contract.errors import IntegrityError

_MAGIC = b"TMARRAYS"


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write `arrays` to `path` (no renaming: that is the caller's)."""
    entries: dict[str, tuple[str, tuple[int, ...], int]] = {}
    offset = 0
    for name, array in arrays.items():
        entries[name] = array.dtype.newbyteorder("<").str, array.shape, offset
        offset += -(-array.nbytes // 8) * 8
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    with path.open("wb") as sink:
        sink.write(_MAGIC + len(header).to_bytes(8, "little") + header)
        for name, array in arrays.items():
            raw = np.ascontiguousarray(array, entries[name][0])
            sink.write(raw.data if raw.size else b"")
            sink.write(b"\0" * (-raw.nbytes % 8))


class ArrayFile:
    """An open file of arrays; cheap to make, reads its header alone.

    Raises:
        IntegrityError: the file is missing, was cut short or is something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as source:
                lead = source.read(16)
                size = int.from_bytes(lead[8:], "little")
                if lead[:8] != _MAGIC or size > path.stat().st_size:
                    raise IntegrityError(f"{path}: not a file of arrays")
                header = source.read(size)
        except OSError as error:
            raise IntegrityError(f"{path}: cannot be read: {error.strerror}") from error
        self._entries: dict[str, tuple[np.dtype[Any], tuple[int, ...], int]] = {}
        end = begin = 16 + size
        for name, (dtype, shape, offset) in json.loads(header).items():
            self._entries[name] = np.dtype(dtype), tuple(shape), begin + offset
            end = begin + offset + -(-int(np.prod(shape)) * np.dtype(dtype).itemsize // 8) * 8
        if path.stat().st_size != end:
            raise IntegrityError(f"{path}: has {path.stat().st_size} bytes, its header says {end}")

    def rows(self, name: str) -> int:
        """Length of the first axis of an array; 0 if there is no array of that name."""
        return self._entries[name][1][0] if name in self._entries else 0

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def read(self, name: str, start: int = 0, stop: int | None = None) -> npt.NDArray[Any]:
        """Rows [start, stop) of an array."""
        dtype, shape, offset = self._entries[name]
        start, stop, _ = slice(start, stop).indices(shape[0])
        width = int(np.prod(shape[1:], dtype=np.int64))
        count = max(0, stop - start) * width
        flat = np.fromfile(self.path, dtype, count, offset=offset + start * width * dtype.itemsize)
        return flat.reshape(-1, *shape[1:]) if count else np.empty((0, *shape[1:]), dtype)
