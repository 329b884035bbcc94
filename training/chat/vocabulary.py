"""A tokenizer together with the ids that have a role, as a checkpoint has them."""

import dataclasses

from tokenizers import Tokenizer

from pipeline.contract.errors import InputError
from training.chat.format import CHAT_TOKENS, END_OF_TURN, PAD, ChatFormat


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """The tokenizer, and the ids with a role."""

    tokenizer: Tokenizer
    end_of_text_id: int

    @property
    def chat(self) -> bool:
        """Whether the model was taught the chat format."""
        return all(self.tokenizer.token_to_id(token) is not None for token in CHAT_TOKENS)

    @property
    def end_of_text(self) -> str:
        """The name of the end-of-text token.

        Raises:
            InputError: the tokenizer has no token with its id.
        """
        name = self.tokenizer.id_to_token(self.end_of_text_id)
        if name is None:
            raise InputError("tokenizer", f"has no token with the end-of-text id {self.end_of_text_id}")
        return str(name)

    @property
    def stop_ids(self) -> list[int]:
        """Where generation ends: at the end of a turn (chat) and of a text."""
        end_of_turn = self.tokenizer.token_to_id(END_OF_TURN) if self.chat else None
        return [self.end_of_text_id] if end_of_turn is None else [end_of_turn, self.end_of_text_id]

    @property
    def pad_id(self) -> int | None:
        """The id of `<|pad|>`, if there is one."""
        return self.tokenizer.token_to_id(PAD) if self.chat else None

    def format(self) -> ChatFormat:
        """The chat format.

        Raises:
            InputError: the model was not taught it.
        """
        return ChatFormat.for_tokenizer(self.tokenizer, self.end_of_text_id)

    def encode(self, text: str) -> list[int]:
        """Ids of plain text, nothing added."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: list[int], *, special: bool = False) -> str:
        """The text of ids; `special`: with the names of special tokens."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=not special))
