"""Run by test_parallel.py as several processes: pretrains with each config of a JSON list, one after another.

Started once for all cases: most of a launch is imports.
"""

import json
import sys
from pathlib import Path

from pipeline.contract.config import build
from training import pretrain
from training.config import ParallelConfig, PretrainConfig
from training.run import train
from training.runtime import distributed


def main() -> None:
    world = distributed.initialize(ParallelConfig(device="cpu"))
    for tree in json.loads(Path(sys.argv[1]).read_text()):
        train(pretrain.pretraining_run(build(PretrainConfig, tree, "ranks")), world)


if __name__ == "__main__":
    main()
    distributed.exit_process(0)
