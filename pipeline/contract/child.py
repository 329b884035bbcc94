"""Python processes of our own, which must find the same modules as this one."""

import os
import sys
from collections.abc import Mapping, Sequence


def module_command(module: str, *arguments: str) -> list[str]:
    """`python -m MODULE ARGUMENTS`.

    With -P the folder we happen to be started in is not searched: one that holds a `pipeline` or `training` of the
    user's own would hide ours.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment, its module path and `more`: stages of the user's own are found where we find them."""
    return {**os.environ, "PYTHONPATH": module_path(sys.path), **(more or {})}


def module_path(folders: Sequence[str]) -> str:
    """A PYTHONPATH of these folders; the empty one, which stands for the current folder, is left out."""
    return os.pathsep.join(filter(None, folders))
