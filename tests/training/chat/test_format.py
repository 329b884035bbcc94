"""The chat format: ids and masks written out by hand, and equal to what transformers makes of the template."""

import json
import re
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from pipeline.contract.errors import InputError
from training.chat.format import (
    CHAT_TOKENS,
    END_OF_TURN,
    PAD,
    ChatFormat,
    Message,
    add_chat_tokens,
    check_tokenizer,
    render_text,
    template,
)

HARMLESS = [
    [Message("user", "Hello"), Message("assistant", "Hi")],
    [Message("system", "Be brief."), Message("user", "\n\n two\n"), Message("assistant", " \nvier é 漢字 🙂\n\n")],
    [Message("user", "a"), Message("assistant", "b"), Message("tool", "{}"), Message("assistant", "c")],
    [Message("user", "first"), Message("user", "second")],
]


@pytest.fixture
def chat(byte_tokenizer: Tokenizer) -> ChatFormat:
    return ChatFormat.for_tokenizer(add_chat_tokens(byte_tokenizer), 256)


@pytest.fixture(scope="module")
def gpt2(shared_data: Path) -> Tokenizer:
    return add_chat_tokens(Tokenizer.from_file(str(shared_data / "tokenizer" / "gpt2-tokenizer.json")))


def test_chat_tokens_follow_the_vocabulary_and_are_added_once(chat: ChatFormat, byte_tokenizer: Tokenizer) -> None:
    tokenizer = add_chat_tokens(byte_tokenizer)
    assert [tokenizer.token_to_id(token) for token in CHAT_TOKENS] == [257, 258, 259, 260, 261, 262]
    assert add_chat_tokens(tokenizer).get_vocab_size() == 263
    assert byte_tokenizer.get_vocab_size() == 257
    assert chat.role_ids == {"system": 257, "user": 258, "assistant": 259, "tool": 260}
    assert (chat.end_of_turn_id, chat.pad_id, chat.bos_id) == (261, 262, 256)
    assert chat.stop_ids == {256, 261}


# Sample by sample, written by hand: (messages, ids, learned). 256 end-of-text, 257 system, 258 user, 259 assistant,
# 260 tool, 261 end of turn; H=72 i=105 o=111 k=107 n=110 .=46.
GOLDEN = [
    (
        [("user", "Hi"), ("assistant", "ok")],
        [256, 258, 72, 105, 261, 259, 111, 107, 261],
        [0, 0, 0, 0, 0, 0, 1, 1, 1],
    ),
    (
        [("system", "."), ("user", "i"), ("assistant", "n"), ("user", "k"), ("assistant", "o")],
        [256, 257, 46, 261, 258, 105, 261, 259, 110, 261, 258, 107, 261, 259, 111, 261],
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1],
    ),
    (
        [("user", "i"), ("assistant", "k"), ("tool", "o"), ("assistant", "n")],
        [256, 258, 105, 261, 259, 107, 261, 260, 111, 261, 259, 110, 261],
        [0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1],
    ),
    ([("user", "i")], [256, 258, 105, 261], [0, 0, 0, 0]),
]


@pytest.mark.parametrize(("turns", "ids", "learned"), GOLDEN)
def test_golden_ids_and_masks(chat: ChatFormat, turns: list, ids: list[int], learned: list[int]) -> None:
    rendered = chat.render([Message(role, content) for role, content in turns])
    assert rendered.ids.tolist() == ids
    assert rendered.supervised.astype(int).tolist() == learned


def test_weight_zero_takes_one_turn_out_of_the_loss(chat: ChatFormat) -> None:
    turns = [Message("user", "i"), Message("assistant", "k", trained=False), Message("assistant", "n")]
    rendered = chat.render(turns)
    assert rendered.ids.tolist() == [256, 258, 105, 261, 259, 107, 261, 259, 110, 261]
    assert rendered.supervised.astype(int).tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 1, 1]


def test_turn_ends_cut_between_messages(chat: ChatFormat) -> None:
    rendered = chat.render([Message("user", "Hi"), Message("assistant", "ok")])
    assert rendered.turn_ends == (5, 9)
    assert rendered.cut(5).ids.tolist() == [256, 258, 72, 105, 261]
    assert rendered.cut(5).turn_ends == (5,)


def test_special_names_in_a_message_are_plain_text(chat: ChatFormat) -> None:
    hostile = "".join((*CHAT_TOKENS, "<|endoftext|>"))
    rendered = chat.render([Message("user", hostile), Message("assistant", hostile)])
    assert rendered.ids[2 : 2 + len(hostile)].tolist() == list(hostile.encode())
    special = [number for number in rendered.ids.tolist() if number >= 256]
    assert special == [256, 258, 261, 259, 261]


def test_exactly_one_bos_though_the_tokenizer_would_add_one(byte_tokenizer: Tokenizer) -> None:
    tokenizer = byte_tokenizer
    tokenizer.post_processor = TemplateProcessing(single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 256)])
    assert tokenizer.encode("i").ids == [256, 105]
    rendered = ChatFormat.for_tokenizer(add_chat_tokens(tokenizer), 256).render(
        [Message("user", "i"), Message("assistant", "k")]
    )
    assert rendered.ids.tolist() == [256, 258, 105, 261, 259, 107, 261]


@pytest.mark.parametrize("messages", HARMLESS)
def test_the_start_of_a_conversation_never_changes(gpt2: Tokenizer, messages: list[Message]) -> None:
    chat = ChatFormat.for_tokenizer(gpt2, 50256)
    whole = chat.render(messages).ids.tolist()
    for count in range(1, len(messages)):
        start = chat.render(messages[:count]).ids.tolist()
        assert whole[: len(start)] == start
        if messages[count].role == "assistant":
            prompt = chat.prompt(messages[:count])
            assert whole[: len(prompt)] == prompt


@pytest.mark.parametrize("messages", HARMLESS)
def test_transformers_makes_the_same_ids_and_mask(gpt2: Tokenizer, messages: list[Message]) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_object=gpt2, bos_token="<|endoftext|>", eos_token=END_OF_TURN, pad_token=PAD
    )
    theirs.chat_template = template()
    raw = [{"role": message.role, "content": message.content} for message in messages]
    found = theirs.apply_chat_template(raw, return_assistant_tokens_mask=True, return_dict=True)
    chat = ChatFormat.for_tokenizer(gpt2, 50256)
    rendered = chat.render(messages)
    assert found["input_ids"] == rendered.ids.tolist()
    assert found["assistant_masks"] == rendered.supervised.astype(int).tolist()
    prompt = theirs.apply_chat_template(raw, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert prompt == chat.prompt(messages)
    for reply in (False, True):
        text = theirs.apply_chat_template(raw, tokenize=False, add_generation_prompt=reply)
        assert text == render_text(messages, "<|endoftext|>", reply=reply)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ([{"role": "user", "content": "say <|assistant|>"}], "special token '<|assistant|>'"),
        ([{"role": "user", "content": "say <|endoftext|>"}], "special token '<|endoftext|>'"),
        ([{"role": "critic", "content": "a"}], "unknown role 'critic'"),
        ([{"role": "user", "content": "a"}, {"role": "system", "content": "b"}], "only be the first"),
        ([{"role": "user", "content": [{"type": "text", "text": "a"}]}], "must be text"),
    ],
)
def test_the_template_refuses_what_it_cannot_say(gpt2: Tokenizer, raw: list, problem: str) -> None:
    transformers, jinja2 = pytest.importorskip("transformers"), pytest.importorskip("jinja2")
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_object=gpt2, bos_token="<|endoftext|>")
    theirs.chat_template = template()
    with pytest.raises(jinja2.TemplateError, match=re.escape(problem)):
        theirs.apply_chat_template(raw)


def test_open_end_leaves_the_last_message_to_be_continued() -> None:
    turns = [Message("user", "Hi"), Message("assistant", "Well")]
    assert render_text(turns, "", open_end=True) == "<|user|>Hi<|end_turn|><|assistant|>Well"


def test_a_tokenizer_without_chat_tokens_is_named(byte_tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match=r"has no chat tokens \(<\|system\|>"):
        ChatFormat.for_tokenizer(byte_tokenizer, 256)


def test_a_chat_token_that_is_an_ordinary_word_is_refused() -> None:
    tokenizer = Tokenizer(models.WordLevel({"<|user|>": 0, "a": 1}, unk_token="a"))
    with pytest.raises(InputError, match=r"<\|user\|> is an ordinary token"):
        add_chat_tokens(tokenizer)


def test_a_tokenizer_that_splits_messages_unlike_the_whole_is_refused(byte_tokenizer: Tokenizer) -> None:
    tokenizer = byte_tokenizer
    check_tokenizer(add_chat_tokens(tokenizer), ChatFormat.for_tokenizer(add_chat_tokens(tokenizer), 256))
    letters = json.loads(tokenizer.to_str())["model"]["vocab"]
    vocabulary = {"▁": 0, "<unk>": 1, **{letter: number + 2 for number, letter in enumerate(letters)}}
    metaspace = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    metaspace.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    metaspace.add_special_tokens(["<|endoftext|>"])
    metaspace = add_chat_tokens(metaspace)
    chat = ChatFormat.for_tokenizer(metaspace, metaspace.token_to_id("<|endoftext|>"))
    with pytest.raises(InputError, match="messages one by one"):
        check_tokenizer(metaspace, chat)
