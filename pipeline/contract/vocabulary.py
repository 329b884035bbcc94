"""What any tokenizer.json must keep to, whoever reads it."""

import hashlib
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from pipeline.contract.errors import InputError

LARGEST_VOCABULARY = 1 << 24
"""Ids a tokenizer may have. An id is a place in arrays, and a damaged file may name the id 4,000,000,000."""

_TRIAL = """
import resource, sys, threading
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
try:
    from tokenizers import Tokenizer
except ImportError:
    sys.exit(0)
content, ended = sys.stdin.buffer.read(), []
def trial():
    try:
        engine = Tokenizer.from_buffer(content)
        del engine
    except Exception:
        pass
    ended.append(True)
threading.stack_size(1 << 20)
thread = threading.Thread(target=trial)
thread.start()
thread.join()
sys.exit(0 if ended else 1)
"""
"""Ends with 0 where the library lives on, whatever it says of the file. A panic of the library is no `Exception`; the
stack is no larger than that of any thread which will load, and free, the tokenizer afterwards."""
_deaths: dict[str, str | None] = {}
"""How the trial of a content ended, by its SHA-256; None: well."""


def check_survivable(content: bytes, place: str) -> None:
    """See, in a process that may die of it, that loading a tokenizer.json does not kill the library.

    It is done once in a process for each content; whether this is a tokenizer is not looked at.

    Raises:
        InputError: the library crashes; `place` names the file.
    """
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 not in _deaths:
        _deaths[sha256] = _trial(content)
    if (death := _deaths[sha256]) is not None:
        hint = "take the file anew from where it was published, or train one: tokenmill tokenizer train"
        raise InputError(place, f"the tokenizers library crashes on it: {death}", hint=hint)


def _trial(content: bytes) -> str | None:
    command = [sys.executable, "-P", "-c", _TRIAL]
    # In a session of its own: a Ctrl-C would look like a crash.
    done = subprocess.run(command, input=content, capture_output=True, check=False, start_new_session=True)
    if done.returncode < 0:
        return signal.Signals(-done.returncode).name
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return None if done.returncode == 0 else f"exit code {done.returncode}{': ' + lines[-1] if lines else ''}"


def vocabulary_size(vocabulary: Mapping[str, int], place: str) -> int:
    """One more than the largest id: ids may have gaps, and an embedding needs a row for every one.

    Raises:
        InputError: there is no id, or one that no tokenizer has; `place` names the file.
    """
    size = max(vocabulary.values(), default=-1) + 1
    if not 0 < size <= LARGEST_VOCABULARY:
        raise InputError(place, f"has ids up to {size - 1}; a tokenizer may have 1 to {LARGEST_VOCABULARY:,} of them")
    return size


def tokenizer_name(path: Path) -> str:
    """`gpt2` of `gpt2.json` and of `gpt2/tokenizer.json`."""
    path = path.resolve()
    return path.parent.name if path.stem == "tokenizer" and path.parent.name else path.stem
