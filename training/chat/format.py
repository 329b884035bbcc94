"""How a conversation becomes token ids, and which of them are learned.

    end-of-text, then for each message: role token, content, <|end_turn|>

One end-of-text token opens a conversation (it is the only BOS: the tokenizer's own post-processor is never used), as
it stands before every document in the shards. A role is one special token, so a message's content lies between two
special tokens and its ids do not depend on its neighbours; the start of a conversation never changes as it grows.
The loss is taken on what the assistant says and on the token that ends its turn, never on role tokens.

`chat_template.jinja` says the same in the language that transformers and inference servers read.
"""

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from tokenizers import AddedToken, Tokenizer

from pipeline.contract.errors import InputError

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = get_args(Role)
ROLE_TOKENS: dict[Role, str] = {role: f"<|{role}|>" for role in ROLES}
END_OF_TURN = "<|end_turn|>"
PAD = "<|pad|>"
CHAT_TOKENS = (*ROLE_TOKENS.values(), END_OF_TURN, PAD)
TEMPLATE_FILE = Path(__file__).with_name("chat_template.jinja")


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """One turn."""

    role: Role
    content: str
    trained: bool = True
    """False takes an assistant's turn out of the loss; it stays as context."""


@dataclasses.dataclass(frozen=True, slots=True)
class RenderedConversation:
    """One conversation as ids."""

    ids: npt.NDArray[np.int32]
    """Shape (L,)."""
    supervised: npt.NDArray[np.bool_]
    """Shape (L,): True where the token is to be predicted."""
    turn_ends: tuple[int, ...]
    """How many ids there are up to the end of each message."""

    def cut(self, length: int) -> "RenderedConversation":
        """The first `length` ids."""
        ends = tuple(end for end in self.turn_ends if end <= length)
        return RenderedConversation(self.ids[:length], self.supervised[:length], ends)


@dataclasses.dataclass(frozen=True, slots=True)
class ChatFormat:
    """Renders conversations with one tokenizer."""

    bos_id: int
    """The end-of-text id."""
    role_ids: dict[Role, int]
    end_of_turn_id: int
    pad_id: int
    _plain: Tokenizer
    """Takes the names of special tokens as plain text."""

    @classmethod
    def for_tokenizer(cls, tokenizer: Tokenizer, end_of_text_id: int) -> "ChatFormat":
        """The format for a tokenizer that has the chat tokens (see `add_chat_tokens`).

        Raises:
            InputError: it has not.
        """
        ids = {token: tokenizer.token_to_id(token) for token in CHAT_TOKENS}
        missing = [token for token, number in ids.items() if number is None]
        if missing:
            problem = f"has no chat tokens ({', '.join(missing)})"
            raise InputError("tokenizer", problem, hint="fine-tune the checkpoint on conversations first")
        role_ids = {role: int(ids[token] or 0) for role, token in ROLE_TOKENS.items()}
        return cls(end_of_text_id, role_ids, int(ids[END_OF_TURN] or 0), int(ids[PAD] or 0), plain_tokenizer(tokenizer))

    @property
    def stop_ids(self) -> frozenset[int]:
        """The ids at which a reply ends."""
        return frozenset({self.end_of_turn_id, self.bos_id})

    def render(self, messages: Sequence[Message]) -> RenderedConversation:
        """A whole conversation; see `render_all` for many."""
        return self.render_all([messages])[0]

    def render_all(self, conversations: Sequence[Sequence[Message]]) -> list[RenderedConversation]:
        """Many conversations, encoded together.

        Raises:
            InputError: the tokenizer cannot encode a message: its model has no token for what it does not know.
        """
        texts = [message.content for messages in conversations for message in messages]
        try:
            contents = iter(self._plain.encode_batch(texts, add_special_tokens=False))
        except Exception as error:  # the library raises nothing narrower
            raise InputError("tokenizer", f"cannot encode a message: {error}") from error
        return [self._assemble(messages, [next(contents).ids for _ in messages]) for messages in conversations]

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """The conversation so far and the token that hands over to the assistant."""
        return [*self.render(messages).ids.tolist(), self.role_ids["assistant"]]

    def _assemble(self, messages: Sequence[Message], contents: Sequence[list[int]]) -> RenderedConversation:
        ids, supervised, ends = [self.bos_id], [False], []
        for message, content in zip(messages, contents, strict=True):
            learned = message.role == "assistant" and message.trained
            ids += [self.role_ids[message.role], *content, self.end_of_turn_id]
            supervised += [False, *([learned] * (len(content) + 1))]
            ends.append(len(ids))
        return RenderedConversation(np.array(ids, np.int32), np.array(supervised, np.bool_), tuple(ends))


def add_chat_tokens(tokenizer: Tokenizer) -> Tokenizer:
    """A copy of `tokenizer` that has the chat tokens; those it already has keep their ids.

    Raises:
        InputError: a chat token's name is an ordinary word of the vocabulary.
    """
    copy = _copy(tokenizer)
    special = {token.content for token in copy.get_added_tokens_decoder().values() if token.special}
    ordinary = [token for token in CHAT_TOKENS if copy.token_to_id(token) is not None and token not in special]
    if ordinary:
        raise InputError("tokenizer", f"{', '.join(ordinary)} is an ordinary token of it, but a chat token here")
    copy.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in CHAT_TOKENS])
    return copy


def plain_tokenizer(tokenizer: Tokenizer) -> Tokenizer:
    """A copy that encodes the names of special tokens as plain text, and neither truncates nor pads."""
    copy = _copy(tokenizer)
    copy.encode_special_tokens = True
    copy.no_truncation()
    copy.no_padding()
    return copy


def _copy(tokenizer: Tokenizer) -> Tokenizer:
    try:
        return Tokenizer.from_str(tokenizer.to_str())
    except Exception as error:  # the library raises nothing narrower
        raise InputError("tokenizer", f"cannot be written and read back: {error}") from error


@functools.cache
def template() -> str:
    """The Jinja text of `chat_template.jinja`."""
    return TEMPLATE_FILE.read_text(encoding="utf-8")


def render_text(messages: Iterable[Message], bos: str, *, reply: bool = False, open_end: bool = False) -> str:
    """The string that the Jinja template renders.

    Args:
        messages: the conversation.
        bos: the end-of-text token's name.
        reply: end with the token that hands over to the assistant.
        open_end: leave out the last `<|end_turn|>`, so that the last message is continued.
    """
    text = bos + "".join(ROLE_TOKENS[message.role] + message.content + END_OF_TURN for message in messages)
    text = text.removesuffix(END_OF_TURN) if open_end else text
    return text + ROLE_TOKENS["assistant"] if reply else text


def check_tokenizer(tokenizer: Tokenizer, format: ChatFormat) -> None:
    """Refuse a tokenizer for which the template's string has other ids than our rendering.

    Raises:
        InputError: it splits text differently beside special tokens (a prefix space on the first word only, say).
    """
    probe = [Message("system", "Be brief."), Message("user", " What is 2 + 2?\n"), Message("assistant", "Four.\n\n4")]
    bos = tokenizer.id_to_token(format.bos_id)
    if bos is None:
        raise InputError("tokenizer", f"has no token with the end-of-text id {format.bos_id}")
    pieces = format.render(probe).ids.tolist()
    whole = tokenizer.encode(render_text(probe, bos), add_special_tokens=False).ids
    if whole != pieces:
        problem = f"encodes a rendered conversation as {whole}, but its messages one by one as {pieces}"
        raise InputError("tokenizer", problem, hint="use a byte-level BPE, which takes each message alike")
