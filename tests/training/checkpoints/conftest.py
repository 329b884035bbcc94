"""A checkpoint to look at."""

import pytest
import torch

from pipeline.contract.config import resolved
from training.checkpoints import checkpoint
from training.checkpoints.checkpoint import Progress, model_tensors
from training.runtime.distributed import World

HERE = World(device=torch.device("cpu"))


@pytest.fixture
def save(tmp_path, byte_tokenizer):
    """Saves a model as the checkpoint of a step."""

    def do(model, step=1, **fields):
        info = {"name": "bytes", "sha256": "0" * 64, "vocabulary_size": 257, "end_of_text_id": 256}
        return checkpoint.save(
            tmp_path / "checkpoints", model_tensors(model), Progress(step=step, sequences=8 * step, tokens=64 * step),
            world=HERE, kind="pretrain", config={"model": resolved(model.config)},
            tokenizer=byte_tokenizer.to_str().encode(), provenance={"tokenizer": info, "init_from": None}, **fields,
        )  # fmt: skip

    return do
