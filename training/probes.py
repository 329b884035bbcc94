"""What is looked at beside the training loss: held-out documents, and what the model writes."""

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from training import parallel
from training.config import PretrainConfig
from training.data.batches import IGNORE_INDEX
from training.data.corpus import Corpus
from training.data.token_batches import Reader, validation_batches
from training.data.tokenizer import byte_lengths
from training.losses import bits_per_byte, next_token_losses
from training.model.generation import Sampling, generate
from training.model.transformer import Transformer
from training.runtime import distributed
from training.runtime.distributed import World
from training.runtime.logs import Logs


class Validation:
    """The loss on the held-out documents, per token and per byte."""

    def __init__(
        self,
        config: PretrainConfig,
        corpus: Corpus,
        reader: Reader,
        tokenizer: Tokenizer,
        model: Transformer,
        world: World,
    ) -> None:
        self._config, self._held_out = config, corpus.held_out
        self._reader, self._model, self._world = reader, model, world
        lengths = byte_lengths(tokenizer, config.model.vocabulary)
        if lengths is not None:
            lengths[corpus.tokenizer.end_of_text_id] = 0
        self._bytes = lengths

    @torch.no_grad()
    def __call__(self) -> dict[str, float]:
        """`validation_loss` in nats per token, and `bits_per_byte` where the tokenizer tells its bytes."""
        config, world = self._config, self._world
        assert self._held_out is not None
        sums = torch.zeros(4, dtype=torch.float64)
        for batch in validation_batches(
            self._held_out, self._reader, limit=config.validation.sequences, micro=config.batch.micro_sequences,
            rank=world.rank, size=world.size,
        ):  # fmt: skip
            here = batch.to(world.device)
            nats = next_token_losses(self._model, here, chunk=config.parallel.loss_chunk)
            sums += self._sums(batch.targets.numpy(), nats.double().cpu().numpy())
        total, tokens, counted, size = distributed.sum_over(world, sums.to(world.device)).tolist()
        row = {"validation_loss": total / tokens}
        if size:
            row["bits_per_byte"] = bits_per_byte(np.array([counted]), np.array([int(size)]))
        return row

    def _sums(self, targets: npt.NDArray[np.int64], nats: npt.NDArray[np.float64]) -> torch.Tensor:
        """Nats, tokens, nats of tokens that stand for bytes, bytes."""
        kept = targets != IGNORE_INDEX
        sizes = np.zeros(1) if self._bytes is None else self._bytes[targets[kept]]
        counted = nats[kept][sizes > 0].sum() if self._bytes is not None else 0.0
        return torch.tensor([nats[kept].sum(), kept.sum(), counted, sizes.sum()], dtype=torch.float64)


class Samples:
    """Text the model writes while it is trained."""

    def __init__(
        self,
        config: PretrainConfig,
        end_of_text: int,
        tokenizer: Tokenizer,
        model: Transformer,
        world: World,
        logs: Logs,
    ) -> None:
        self._run, self._seed, self._tokenizer = config.run, config.seed, tokenizer
        self._model, self._logs, self._start = model, logs, end_of_text
        dtype = parallel.matmul_dtype(config.parallel.dtype, world.device)
        self._like = torch.empty(0, dtype=dtype, device=world.device)

    def __call__(self, step: int) -> None:
        """Go on from each prompt; all processes together, since each holds a part of the model."""
        texts = self._run.sample_prompts
        prompts = [[self._start, *self._tokenizer.encode(text, add_special_tokens=False).ids] for text in texts]
        sampling = Sampling(max_tokens=self._run.sample_tokens, temperature=0.8, top_k=50, seed=self._seed)
        # Compiling for every length of the cache would take longer than the samples.
        with torch.compiler.set_stance("force_eager"):
            written = generate(self._model, prompts, sampling, like=self._like)
        for text, ids in zip(texts, written, strict=True):
            end = ids.index(self._start) if self._start in ids else len(ids)
            self._logs.sample(step, text, self._tokenizer.decode(ids[:end]))
