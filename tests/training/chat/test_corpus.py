"""Conversations become checked rows."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from pipeline.contract.errors import InputError
from training.chat.corpus import check_rows, open_chat
from training.chat.format import ChatFormat, Message, add_chat_tokens
from training.chat.packing import PackedRows, pack
from training.config import RunConfig
from training.data.batches import IGNORE_INDEX
from training.sft_config import ChatValidationConfig, ConversationConfig, SftConfig


@pytest.fixture
def chat(byte_tokenizer: Tokenizer) -> ChatFormat:
    return ChatFormat.for_tokenizer(add_chat_tokens(byte_tokenizer), 256)


@pytest.fixture
def rows(chat: ChatFormat) -> PackedRows:
    two = [Message("user", "ab"), Message("assistant", "cd"), Message("user", "e"), Message("assistant", "f")]
    one = [Message("user", "x"), Message("assistant", "yz")]
    return pack(chat.render_all([two, one]), 24, chat.pad_id)


def changed(rows: PackedRows, name: str, where: tuple[int, int], value: int) -> PackedRows:
    array = getattr(rows, name).copy()
    array[where] = value
    return dataclasses.replace(rows, **{name: array})


def test_the_gate_lets_right_rows_pass(rows: PackedRows, chat: ChatFormat) -> None:
    check_rows(rows, chat, "data")
    assert rows.document_ids.tolist() == [[0] * 14 + [1] * 7 + [-1] * 3]


# Cells of the first conversation: 0 end-of-text, 1 user, 2 a, 3 b, 4 end, 5 assistant, 6 c, 7 d, 8 end, 9 user, ...
@pytest.mark.parametrize(
    ("name", "where", "value", "problem"),
    [
        ("targets", (0, 7), IGNORE_INDEX, "does not learn the end of a reply"),
        ("targets", (0, 4), 259, "learns a role, padding or end-of-text token"),
        ("targets", (0, 23), 100, "learns a cell that holds nothing"),
        ("targets", (0, 5), 98, "learns another id than the next"),
        ("tokens", (0, 1), 256, "without exactly one end-of-text"),
        ("tokens", (0, 0), 98, "without exactly one end-of-text"),
        ("tokens", (0, 14), 98, "without exactly one end-of-text"),
    ],
)
def test_the_gate_refuses(
    rows: PackedRows, chat: ChatFormat, name: str, where: tuple[int, int], value: int, problem: str
) -> None:
    with pytest.raises(InputError, match=f"row 0 .*{problem}"):
        check_rows(changed(rows, name, where, value), chat, "data.train")


def test_the_gate_refuses_a_row_without_a_learned_token(rows: PackedRows, chat: ChatFormat) -> None:
    with pytest.raises(InputError, match="row 0 has no learned token"):
        check_rows(dataclasses.replace(rows, targets=np.full_like(rows.targets, IGNORE_INDEX)), chat, "data")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., SftConfig]:
    """Writes conversations (user, assistant) and returns a config that reads them."""

    def build(pairs: list[tuple[str, str]], *, fraction: float | None, **data: Any) -> SftConfig:
        path = tmp_path / "train.jsonl"
        lines = [{"id": str(number), "messages": [{"role": "user", "content": a}, {"role": "assistant", "content": b}]}
                 for number, (a, b) in enumerate(pairs)]  # fmt: skip
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return SftConfig(
            init_from="none", data=ConversationConfig(train=(str(path),), **data),
            validation=ChatValidationConfig(fraction=fraction), run=RunConfig(output=str(tmp_path)),
        )  # fmt: skip

    return build


def test_the_held_out_share_is_a_choice_by_id(write: Callable[..., SftConfig], chat: ChatFormat) -> None:
    config = write([(f"q{number}", "a") for number in range(400)], fraction=0.25)
    corpus = open_chat(config, chat, 64)
    assert corpus.held_out is not None
    held_out = corpus.held_out.counts["conversations"]
    assert held_out + corpus.train.counts["conversations"] == 400
    assert 70 <= held_out <= 130
    ids = {bytes(row[row < 256].tolist()).decode("latin-1") for row in corpus.held_out.rows.tokens}
    again = open_chat(config, chat, 64).held_out
    assert again is not None
    assert ids == {bytes(row[row < 256].tolist()).decode("latin-1") for row in again.rows.tokens}


def test_long_conversations_are_counted(write: Callable[..., SftConfig], chat: ChatFormat) -> None:
    config = write([("q", "a"), ("q" * 100, "a")], fraction=None)
    corpus = open_chat(config, chat, 32)
    assert corpus.held_out is None
    assert dict(corpus.train.counts) == {
        "conversations": 1, "truncated": 0, "too_long": 1, "unsupervised": 0, "rows": 1, "tokens": 6, "supervised": 2,
    }  # fmt: skip
    assert "33.3% of 6 tokens learned, 1 too long" in corpus.describe()


def test_nothing_left_is_an_error_that_says_why(write: Callable[..., SftConfig], chat: ChatFormat) -> None:
    config = write([("q" * 100, "a")], fraction=None)
    with pytest.raises(
        InputError, match=r"1 conversations, of which none can be learned from\n  1 have no reply within"
    ):
        open_chat(config, chat, 32)


def test_bad_lines_stop_or_are_counted(write: Callable[..., SftConfig], chat: ChatFormat) -> None:
    config = write([("q", "a")], fraction=None)
    with Path(config.data.train[0]).open("a") as sink:
        sink.write("{}\n")
    with pytest.raises(InputError, match=r"train\.jsonl:2: 'messages' must be a list"):
        open_chat(config, chat, 32)
    lenient = dataclasses.replace(config, data=dataclasses.replace(config.data, bad_lines="skip"))
    assert open_chat(lenient, chat, 32).skipped == {"no_messages": 1}
