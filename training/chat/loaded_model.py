"""A checkpoint loaded for use: for sampling, chatting, evaluation and export."""

import dataclasses
from pathlib import Path

import torch

from pipeline.contract.errors import InputError
from training import checkpoint
from training.chat.format import ChatFormat
from training.chat.vocabulary import Vocabulary
from training.model.transformer import Transformer
from training.runtime.distributed import choose_device


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LoadedModel:
    """A checkpoint ready for use."""

    checkpoint: checkpoint.Checkpoint
    model: Transformer
    vocabulary: Vocabulary

    def format(self) -> ChatFormat:
        """The chat format.

        Raises:
            InputError: the model was not taught it.
        """
        if not self.vocabulary.chat:
            problem = "was not taught the chat format: its tokenizer has no chat tokens"
            raise InputError(str(self.checkpoint.path), problem, hint="fine-tune it first: tokenmill sft CONFIG")
        return self.vocabulary.format()


def load_model(path: str | Path, device: str = "auto", dtype: torch.dtype | None = None) -> LoadedModel:
    """Load a checkpoint for use.

    Args:
        path: a checkpoint, or a run folder, of which the newest is taken.
        device: auto, cpu or cuda.
        dtype: of the parameters; None: bfloat16 on CUDA, float32 elsewhere.

    Raises:
        InputError: there is no checkpoint, or it is damaged.
        ConfigError: a device that is not there.
    """
    found = checkpoint.read(path)
    model, tokenizer, _ = checkpoint.load_for_inference(found.path, choose_device(device), dtype)
    vocabulary = Vocabulary(tokenizer=tokenizer, end_of_text_id=found.tokenizer_info.end_of_text_id)
    return LoadedModel(checkpoint=found, model=model, vocabulary=vocabulary)
