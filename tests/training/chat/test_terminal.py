"""Sampling and chatting: what is printed, what is remembered, what is refused."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from pipeline.contract.errors import ConfigError, InputError
from training import checkpoint
from training.chat.format import Message, add_chat_tokens
from training.chat.loaded_model import LoadedModel
from training.chat.terminal import ChatSession, reply, run_chat, run_sample, text_pieces
from training.chat.vocabulary import Vocabulary
from training.model.generation import Sampling
from training.model.transformer import Transformer

Build = Callable[..., Transformer]
WARM = Sampling(max_tokens=9, temperature=1.0, seed=3)


@pytest.fixture
def opened(random_model: Build, save_parent: Callable[[Transformer], Path], byte_tokenizer: Tokenizer) -> LoadedModel:
    """A chat model of random weights."""
    model = random_model(context_length=64)
    found = checkpoint.read(save_parent(model))
    vocabulary = Vocabulary(tokenizer=add_chat_tokens(byte_tokenizer), end_of_text_id=256)
    return LoadedModel(checkpoint=found, model=model, vocabulary=vocabulary)


def test_samples_repeat_and_each_prompt_has_its_own_chance(
    random_model: Build, save_parent: Callable[[Transformer], Path]
) -> None:
    run = save_parent(random_model(vocab_size=257))
    screen = io.StringIO()
    first = run_sample(run, ["", "", "ab"], WARM, device="cpu", sink=screen)
    assert first == run_sample(run, ["", "", "ab"], WARM, device="cpu", sink=io.StringIO())
    assert first[0] != first[1]
    assert screen.getvalue() == f"{first[0]}\n{first[1]}\nab{first[2]}\n"


def test_pieces_are_whole_characters_up_to_the_end_of_the_turn(opened: LoadedModel) -> None:
    assert list(text_pieces(opened.vocabulary, [*"é漢".encode(), 105, 261, 105])) == ["é", "漢", "i"]
    assert list(text_pieces(opened.vocabulary, [105, 256])) == ["i"]


def test_a_prompt_without_room_is_refused(opened: LoadedModel) -> None:
    with pytest.raises(ConfigError, match="prompt: has 64 tokens; the model's context takes 63"):
        list(reply(opened, [1] * 64, WARM))


def test_a_session_remembers_until_there_is_no_room(opened: LoadedModel) -> None:
    session = ChatSession(opened, Sampling(max_tokens=4, temperature=0.0), "be", io.StringIO())
    session.take("one")
    session.take("two")
    assert [message.role for message in session.history] == ["user", "assistant", "user", "assistant"]
    session.take("x" * 50)  # with the rest before it there would be no room for a reply
    assert session.history[0].content == "x" * 50
    assert len(session.history) == 2
    with pytest.raises(ConfigError, match="leaves no room for a reply"):
        session.take("x" * 80)
    assert len(session.history) == 2


def test_commands(opened: LoadedModel) -> None:
    screen = io.StringIO()
    session = ChatSession(opened, Sampling(max_tokens=4, temperature=0.0), None, screen)
    session.take("one")
    session.take("/reset")
    assert session.history == []
    session.take("")
    assert session.history == []
    session.take("/system Speak German")
    session.take("one")
    assert session.history[0] == Message("user", "one")
    before = screen.getvalue()
    session.take("/help")
    assert screen.getvalue().removeprefix(before).startswith("/system TEXT")


def test_a_base_model_does_not_chat(random_model: Build, save_parent: Callable[[Transformer], Path]) -> None:
    run = save_parent(random_model(vocab_size=257))
    with pytest.raises(InputError, match=r"step-00000003: was not taught the chat format.*\n.*tokenmill sft"):
        run_chat(run, WARM, device="cpu", source=io.StringIO("Hi\n"), sink=io.StringIO())
    with pytest.raises(InputError, match="was not taught the chat format"):
        run_sample(run, ["Hi"], WARM, chat=True, device="cpu", sink=io.StringIO())
