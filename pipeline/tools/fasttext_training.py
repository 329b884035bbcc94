"""The child of `classifier`: trains one fastText model in memory that starts as zeros.

python -m pipeline.tools.fasttext_training LINES MODEL OPTIONS_AS_JSON

With one thread, which is what makes training repeatable, fastText 0.9.2 sets only the first tenth of its input matrix
(`DenseMatrix::uniform`) and leaves the rest as malloc handed it over: other models on every run, or "Encountered NaN".
glibc fills what malloc hands over with the complement of MALLOC_PERTURB_'s low byte; 255 gives zeros, a sound start for
all but the first rows. The variable is read when a process starts, hence the child.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.contract.child import environment, module_command
from pipeline.contract.errors import TokenmillError


def fit(lines: Path, model: Path, options: Mapping[str, Any]) -> None:
    """Train on a file of `__label__NAME text` lines and write the model.

    Raises:
        TokenmillError: fastText failed; the message is its own.
    """
    command = module_command("pipeline.tools.fasttext_training", str(lines), str(model), json.dumps(dict(options)))
    zeros = environment({"MALLOC_PERTURB_": "255"})
    done = subprocess.run(command, env=zeros, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise TokenmillError(f"fastText could not train: {last}")


def main() -> None:
    """Train in this process."""
    import fasttext

    lines, model, options = sys.argv[1:4]
    fasttext.train_supervised(lines, thread=1, verbose=0, **json.loads(options)).save_model(model)


if __name__ == "__main__":
    main()
