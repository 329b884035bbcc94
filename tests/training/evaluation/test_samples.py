"""Samples during training."""

from collections.abc import Callable

import torch
from tokenizers import Tokenizer

from training.evaluation.samples import Prompt, Samples, training_sampling
from training.model.generation import generate
from training.model.transformer import Transformer
from training.runtime.distributed import World
from training.runtime.logs import NoLogs


class Kept(NoLogs):
    def __init__(self) -> None:
        self.rows: list[tuple[int, str, str]] = []

    def sample(self, step: int, prompt: str, text: str) -> None:
        self.rows.append((step, prompt, text))


def test_each_prompt_is_gone_on_from_up_to_a_stop_id(
    random_model: Callable[..., Transformer], byte_tokenizer: Tokenizer
) -> None:
    model, logs = random_model(vocab_size=257), Kept()
    prompts, sampling = [Prompt(label="a", ids=[256, 97]), Prompt(label="b", ids=[256])], training_sampling(9, seed=3)
    written = generate(model, [prompt.ids for prompt in prompts], sampling)
    stop = written[0][4]  # where the first text is to end
    samples = Samples(
        model=model, world=World(device=torch.device("cpu")), logs=logs, prompts=prompts, sampling=sampling,
        stop_ids=[stop], decode=byte_tokenizer.decode, dtype="auto",
    )  # fmt: skip
    samples(7)
    ends = [ids.index(stop) if stop in ids else len(ids) for ids in written]
    texts = [byte_tokenizer.decode(ids[:end]) for ids, end in zip(written, ends, strict=True)]
    assert logs.rows == [(7, "a", texts[0]), (7, "b", texts[1])]
    assert ends[0] <= 4
