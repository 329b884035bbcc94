"""Compiled once, loaded without the compiler, whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.text import kernels, loops, machine_code
from pipeline.text.machine_code import I32, I64, U64
from pipeline.text.words import code_points, hash_words

PROGRAM = (
    "import sys; from pipeline.text.words import hash_words; print(hash_words(['word', 'é']), 'numba' in sys.modules)"
)


def run(folder: Path) -> str:
    environment = {**os.environ, "TOKENMILL_CODE": str(folder)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, check=True)
    return done.stdout.decode()


def test_the_compiler_is_loaded_by_the_first_process_only(tmp_path: Path) -> None:
    hashes, with_compiler = run(tmp_path).rsplit(" ", 1)
    assert with_compiler == "True\n"
    assert run(tmp_path) == f"{hashes} False\n"
    assert [file.suffix for file in tmp_path.iterdir()] == [".o"]


def test_a_damaged_file_counts_as_none_and_is_written_anew(tmp_path: Path) -> None:
    hashes = run(tmp_path).rsplit(" ", 1)[0]
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    assert machine_code._read(file) == whole[32:]
    for damaged in (b"", whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
        file.write_bytes(damaged)
        assert machine_code._read(file) is None
    assert run(tmp_path) == f"{hashes} True\n"
    assert file.read_bytes() == whole


def test_where_no_folder_takes_the_code_it_is_compiled_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert run(tmp_path / "file" / "below") == f"{kernels_hashes()} True\n"


def kernels_hashes() -> str:
    return str(hash_words(["word", "é"]))


def test_another_source_has_another_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    key = machine_code._key(loops)
    assert machine_code._key(loops) == key
    changed = tmp_path / "loops.py"
    changed.write_text(Path(loops.__file__).read_text() + "\n")
    monkeypatch.setattr(loops, "__file__", str(changed))
    assert machine_code._key(loops) != key


def test_the_wrong_array_is_refused_before_the_loop_runs() -> None:
    points = code_points("two words")
    for wrong in (np.array([3, 5], np.int64), np.array([3, 0, 5, 0], np.int32)[::2]):
        with pytest.raises(TypeError, match="hash_words: a contiguous array of int32 is needed"):
            kernels.hash_words(points, wrong)


def test_both_ways_to_an_address_agree() -> None:
    for array in (np.arange(7), np.arange(7)[3:], np.frombuffer(b"12345678", np.uint64)):
        assert machine_code._address(array) == machine_code._address_as_documented(array) == array.ctypes.data


def total(values: I64, size: int) -> int:
    found = 0
    for at in range(size):
        found += values[at]
    return found


def allocating(values: I64, size: int) -> int:
    return np.empty(size).size + values[0]


def test_a_loop_that_allocates_is_refused() -> None:
    def module(loop: object) -> SimpleNamespace:
        return SimpleNamespace(__name__="m", LOOPS=(loop,), HELPERS=())

    assert machine_code._object_code(module(total))  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="allocates or raises: NRT_"):
        machine_code._object_code(module(allocating))  # type: ignore[arg-type]


@pytest.mark.parametrize("words", [["a"], ["", "ab", "é😀"], []])
def test_the_loops_say_in_python_what_they_say_compiled(words: list[str]) -> None:
    points, lengths = code_points("".join(words)), np.array([len(word) for word in words], np.int32)
    hashes: U64 = np.zeros(len(words), np.uint64)
    sizes: I32 = lengths
    with np.errstate(over="ignore"):
        assert loops.hash_words(points, sizes, len(words), hashes) == len(points)
    assert hashes.tolist() == kernels.hash_words(points, lengths).tolist()
