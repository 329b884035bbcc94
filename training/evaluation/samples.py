"""What a model writes while it is trained."""

import dataclasses
from collections.abc import Callable, Sequence

import torch

from training import parallel
from training.model.generation import Sampling, generate
from training.model.transformer import Transformer
from training.runtime.distributed import World
from training.runtime.logs import Logs


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """What a sample goes on from."""

    label: str
    """What stands for it in samples.jsonl."""
    ids: Sequence[int]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """Goes on from each prompt and logs what was written."""

    model: Transformer
    world: World
    logs: Logs
    prompts: Sequence[Prompt]
    sampling: Sampling
    stop_ids: Sequence[int]
    """Where a text ends; they are not part of it."""
    decode: Callable[[list[int]], str]
    dtype: str
    """Of the matrix products, as in the config."""

    def __call__(self, step: int) -> None:
        """After `step` updates; all processes together, since each holds a part of the model."""
        like = torch.empty(0, dtype=parallel.matmul_dtype(self.dtype, self.world.device), device=self.world.device)
        prompts = [prompt.ids for prompt in self.prompts]
        # Compiling for every length of the cache would take longer than the samples.
        with torch.compiler.set_stance("force_eager"):
            written = generate(self.model, prompts, self.sampling, stop=self.stop_ids, like=like)
        for prompt, ids in zip(self.prompts, written, strict=True):
            self.logs.sample(step, prompt.label, self.decode([id for id in ids if id not in self.stop_ids]))


def training_sampling(max_tokens: int, seed: int) -> Sampling:
    """How the samples of a run are drawn."""
    return Sampling(max_tokens=max_tokens, temperature=0.8, top_k=50, seed=seed)
