"""What each switch of a training config is worth here: all sides in one process, ratios to the config itself.

    python tests/benchmarks/training_speed.py [CONFIG] [--json] [any option of python -m training.tools.bench]

Without a CONFIG: configs/training/gpt2-124m.yaml on a GPU, a small shape elsewhere.
"""

import sys
from pathlib import Path

import torch

from training.runtime import distributed
from training.tools import bench

CONFIGS = Path(__file__).parents[2] / "configs" / "training"
ON_GPU = (
    "parallel.compile=false",
    "parallel.reshard_after_forward=true",
    "parallel.activation_checkpointing=selective",
    "parallel.activation_checkpointing=full",
    "parallel.loss_chunk=8192",
    "data.document_mask=true",
    "optimizer.name=muon",
    "parallel.dtype=float32",
)
ON_CPU = (
    "parallel.compile=true",
    "parallel.activation_checkpointing=full",
    "parallel.loss_chunk=512",
    "data.document_mask=true",
    "parallel.dtype=bfloat16",
)
SMALL = (
    "--set",
    "model.num_layers=2",
    "--set",
    "batch.tokens=2048",
    "--vocabulary",
    "4096",
    "--steps",
    "5",
    "--warmup",
    "2",
)


def main() -> int:
    arguments = sys.argv[1:]
    cuda = torch.cuda.is_available()
    if not arguments or arguments[0].startswith("-"):
        arguments = [
            str(CONFIGS / ("gpt2-124m.yaml" if cuda else "demo-1m.yaml")),
            *([] if cuda else SMALL),
            *arguments,
        ]
    if "--versus" not in arguments:
        arguments += [word for variant in (ON_GPU if cuda else ON_CPU) for word in ("--versus", variant)]
    return bench.main(arguments)


if __name__ == "__main__":
    distributed.exit_process(main())
