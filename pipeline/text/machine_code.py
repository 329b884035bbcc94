"""Loops over characters and words as machine code: compiled once on a machine, then loaded without the compiler.

Importing numba and loading its cached functions takes 0.6 s of CPU and 100 MB in every process. So numba compiles the
loops of `pipeline/text/loops.py` once, LLVM's object code of them is kept in a file, and a process that finds the file
links it through llvmlite, which takes 0.05 s. The file's name is a hash of all that decides its content: the sources,
the processor, the version of llvmlite. Where no folder can be written, each process compiles anew (some seconds).

A loop takes arrays as pointers, allocates nothing and raises nothing, so that its code needs nothing but memory.
"""

import contextlib
import ctypes
import functools
import hashlib
import importlib
import os
import sys
import typing
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
F32 = npt.NDArray[np.float32]

_POINTERS: dict[Any, np.dtype[Any]] = {
    kind: np.dtype(typing.get_args(typing.get_args(kind)[1])[0]) for kind in (U8, I32, U32, I64, U64, F32)
}
_DIGEST_BYTES = 32
_FROM_C = ("memset", "memcpy", "exp", "expf", "log", "logf")
"""What every process has: of the C library."""


class Loop:
    """One compiled loop: takes contiguous arrays of the annotated types, and whole numbers; gives a whole number."""

    def __init__(self, function: Callable[..., int], address: int) -> None:
        hints = typing.get_type_hints(function)
        kinds = [hints[name] for name in function.__code__.co_varnames[: function.__code__.co_argcount]]
        self._name = function.__name__
        self._dtypes = [_POINTERS.get(kind) for kind in kinds]
        self._call = ctypes.CFUNCTYPE(ctypes.c_int64, *map(_c_type, kinds))(address)

    def __call__(self, *arguments: Any) -> int:
        """Run it; the GIL is free meanwhile.

        Raises:
            TypeError: an array is of another type, or not contiguous.
        """
        values = []
        for value, dtype in zip(arguments, self._dtypes, strict=True):
            if dtype is None:
                values.append(value)
            elif value.dtype == dtype and value.flags.c_contiguous:
                values.append(_address(value))
            else:
                raise TypeError(f"{self._name}: a contiguous array of {dtype} is needed, not of {value.dtype}")
        result: int = self._call(*values)
        return result


_from_address, _HEAD = ctypes.c_void_p.from_address, object.__basicsize__


def _address(array: npt.NDArray[Any]) -> int:
    """Where the data of an array begins: the first field of numpy's array object, six times faster than `ctypes`."""
    return _from_address(id(array) + _HEAD).value or 0


def _address_as_documented(array: npt.NDArray[Any]) -> int:
    return array.ctypes.data


if any(_address(array) != array.ctypes.data for array in (np.empty(3), np.empty(9)[5:])):  # another build of Python
    _address = _address_as_documented


@functools.cache
def load(module: str) -> dict[str, Loop]:
    """The compiled loops of a module (its `LOOPS`), by name."""
    source = importlib.import_module(module)
    code = _kept(source)
    addresses = _linked(code, [loop.__name__ for loop in source.LOOPS]) if code else _compiled_here(source)
    return {loop.__name__: Loop(loop, addresses[loop.__name__]) for loop in source.LOOPS}


def _c_type(kind: Any) -> Any:
    if kind in _POINTERS:
        return ctypes.c_void_p
    return ctypes.c_uint64 if kind is np.uint64 else ctypes.c_int64


def _kept(source: ModuleType) -> bytes | None:
    """The object code of a module's loops, from its file, or compiled and put there; None where no folder takes it."""
    name = f"{source.__name__}.{_key(source)}.o"
    for folder in _folders(source):
        code = _read(folder / name)
        if code:
            return code
    for folder in _folders(source):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            temporary = folder / f".{name}.{uuid.uuid4().hex}.tmp"
            with temporary.open("xb") as file:  # before compiling: a folder that takes nothing is no reason to
                code = _object_code(source)
                file.write(hashlib.sha256(code).digest() + code)
            temporary.replace(folder / name)
            return code
    return None


def _read(path: Path) -> bytes | None:
    """What the file holds; None where it is not there, or not whole (a power cut, a full disk)."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    code = data[_DIGEST_BYTES:]
    return code if hashlib.sha256(code).digest() == data[:_DIGEST_BYTES] else None


def _folders(source: ModuleType) -> Iterator[Path]:
    if given := os.environ.get("TOKENMILL_CODE"):
        yield Path(given)
        return
    yield Path(str(source.__file__)).parent / "__pycache__"
    with contextlib.suppress(RuntimeError):  # no home
        yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tokenmill"


def _key(source: ModuleType) -> str:
    import llvmlite
    import llvmlite.binding as llvm

    used = [source, *(sys.modules[name] for name in source.CONSTANTS_OF), sys.modules[__name__]]
    digest = hashlib.sha256()
    for module in used:
        digest.update(Path(str(module.__file__)).read_bytes())
    machine = f"{llvmlite.__version__} {llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"
    digest.update(f"{machine} {sys.platform}".encode())
    return digest.hexdigest()[:16]


def _machine() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, codemodel="jitdefault",
        jit=True,
    )  # fmt: skip


_engines: list[Any] = []
"""Kept for as long as the process: they own the memory of the code."""


def _linked(code: bytes, names: list[str]) -> dict[str, int]:
    """The addresses of functions in object code."""
    import llvmlite.binding as llvm

    machine = _machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return {name: engine.get_function_address(name) for name in names}


def _object_code(source: ModuleType) -> bytes:
    """The loops of a module as one object file, each under its own name."""
    import llvmlite.binding as llvm

    machine: Any = _machine()
    whole: Any = None
    for name, compiled in _by_numba(source).items():
        module = llvm.parse_assembly(compiled.inspect_llvm())
        # What a C caller calls, `cfunc.NAME`, hands numba's errors on to Python. There are none: with the loop put
        # inside, the compiler sees that, and what is left needs neither Python nor numba.
        entry = module.get_function(compiled.native_name)
        for function in module.functions:
            if not function.is_declaration and function.name != entry.name:
                function.linkage = "internal"
        entry.name = name
        if whole is None:
            whole = module
        else:
            whole.link_in(module)
    _optimize(whole, machine)
    needed = {function.name for function in whole.functions if function.is_declaration}
    foreign = sorted(name for name in needed if not name.startswith("llvm.") and name not in _FROM_C)
    if foreign:
        raise AssertionError(f"{source.__name__}: a loop allocates or raises: {', '.join(foreign)}")
    code: bytes = machine.emit_object(whole)
    return code


def _optimize(module: Any, machine: Any) -> None:
    import llvmlite.binding as llvm

    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    options.inlining_threshold = 1 << 20
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)


def _compiled_here(source: ModuleType) -> dict[str, int]:
    """The addresses of loops compiled in this process."""
    _engines.append(compiled := _by_numba(source))
    return {name: function.address for name, function in compiled.items()}


def _by_numba(source: ModuleType) -> dict[str, Any]:
    """Every loop of a module as numba's C function; they call the module's HELPERS, which it compiles along."""
    import numba
    from numba import types

    numbers: dict[Any, Any] = {int: types.int64}
    pointer: Any = types.CPointer
    numbers |= {kind: pointer(numba.from_dtype(dtype)) for kind, dtype in _POINTERS.items()}

    def signature(function: Callable[..., Any]) -> Any:
        hints = typing.get_type_hints(function)
        kinds = (hints[name] for name in function.__code__.co_varnames[: function.__code__.co_argcount])
        return tuple(numbers[kind] if kind in numbers else numba.from_dtype(np.dtype(kind)) for kind in kinds)

    # Helpers may come from several modules and call each other: each is replaced wherever it is known, once it is
    # compiled, for the types that it names: left to itself, numba compiles it anew for every mixture of widths.
    modules = {id(names): names for names in (vars(source), *(helper.__globals__ for helper in source.HELPERS))}
    plain = [
        (names, helper.__name__, helper)
        for helper in source.HELPERS
        for names in modules.values()
        if names.get(helper.__name__) is helper
    ]
    made = {}
    try:
        for helper in source.HELPERS:
            compiled = numba.njit(signature(helper), error_model="numpy")(helper)
            for names, name, known in plain:
                if known is helper:
                    names[name] = compiled
        for loop in source.LOOPS:
            made[loop.__name__] = numba.cfunc(types.int64(*signature(loop)), error_model="numpy")(loop)
    finally:
        for names, name, helper in plain:
            names[name] = helper
    return made
