"""The command `tokenmill`, up to the point where its packages are known to be the right ones.

`pipeline` and `training` are common names. Where the path has another package or folder of such a name before ours,
Python imports that one, and all that would be seen is an ImportError; so this is looked at first, from a package whose
own name nobody else has.
"""

import importlib.util
import sys
from pathlib import Path

_OURS = {"pipeline": "contract/manifest.py", "training": "pretrain.py"}
"""Our packages, and a file that tells each from another's."""


def main() -> None:
    """Run the command; exit 2 where another package hides one of ours."""
    for name, file in _OURS.items():
        place = _hiding(name, file)
        if place:
            print(f"ImportError: another package '{name}' hides tokenmill's own: {place}\n"
                  f"  take {Path(place).parent} off PYTHONPATH (stages of your own are found by --stages DIR, which is "
                  "searched last), or rename that folder", file=sys.stderr)  # fmt: skip
            sys.exit(2)
    from pipeline.cli.main import main as run

    run()


def _hiding(name: str, file: str) -> str:
    """Where Python would take the package from, if that is not ours; empty if it is."""
    spec = importlib.util.find_spec(name)
    places = list((spec.submodule_search_locations or [spec.origin]) if spec else [])
    return "" if any(place and (Path(place) / file).is_file() for place in places) else str((places or ["nowhere"])[0])
