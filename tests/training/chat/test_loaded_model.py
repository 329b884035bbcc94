"""A checkpoint loaded for use."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pipeline.contract.errors import ConfigError, InputError
from training.chat.loaded_model import load_model
from training.model.transformer import Transformer

SavedModel = tuple[Transformer, Path]


@pytest.fixture
def saved(random_model: Callable[..., Transformer], save_parent: Callable[[Transformer], Path]) -> SavedModel:
    model = random_model(vocab_size=257)
    return model, save_parent(model)


def test_the_model_is_the_saved_one_and_knows_its_tokens(saved: SavedModel) -> None:
    model, run = saved
    loaded = load_model(run, "cpu")
    assert loaded.checkpoint.progress.step == 3
    assert loaded.vocabulary.end_of_text == "<|endoftext|>"
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], value)
    assert not loaded.model.training


def test_a_base_model_has_no_chat_format(saved: SavedModel) -> None:
    with pytest.raises(InputError, match=r"was not taught the chat format.*\n.*tokenmill sft CONFIG"):
        load_model(saved[1], "cpu").format()


def test_a_device_that_is_not_there_is_refused(saved: SavedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"parallel\.device"):
        load_model(saved[1], "cuda")
