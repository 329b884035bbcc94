"""Conversations from jsonl files: strict, with the file and line of whatever is wrong.

One JSON object a line: `{"messages": [{"role": "user", "content": "..."}, ...]}`, as the common fine-tuning formats
have it. `id` (any text or number) is optional; a message's `weight: 0` takes an assistant's turn out of the loss.
"""

import collections
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.contract.errors import InputError, nearest
from training.chat.format import ROLES, Message


@dataclasses.dataclass(frozen=True, slots=True)
class Conversation:
    """One line of a file."""

    id: str
    """The `id` of the line, else a hash of its messages."""
    messages: tuple[Message, ...]
    place: str
    """`file:line`."""

    def draw(self, seed: int) -> float:
        """A number in [0, 1) that depends on `seed` and the id alone."""
        digest = hashlib.blake2b(self.id.encode(), key=str(seed).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """Why a line is no conversation."""

    cause: str
    """snake_case, for counting."""
    problem: str
    place: str
    hint: str | None = None

    def error(self) -> InputError:
        """The error that stops a strict run."""
        return InputError(self.place, self.problem, hint=self.hint)


class _Faulty(Exception):
    """Carries (cause, problem, hint) from a check to `parse`."""


def read_conversations(paths: Sequence[Path]) -> Iterator[Conversation | Fault]:
    """Every non-empty line of the files, in order.

    Raises:
        InputError: a file cannot be read.
    """
    for path in paths:
        try:
            with path.open("rb") as source:
                for number, line in enumerate(source, 1):
                    if line.strip():
                        yield parse(line, f"{path}:{number}")
        except OSError as error:
            raise InputError(str(path), f"cannot be read: {error.strerror}") from error


def load_conversations(paths: Sequence[Path], *, skip_bad: bool) -> tuple[list[Conversation], Mapping[str, int]]:
    """All conversations, and how many lines were left out for which cause.

    Args:
        paths: jsonl files.
        skip_bad: count a line that is no conversation instead of stopping at it.

    Raises:
        InputError: a file cannot be read; a line is no conversation (unless `skip_bad`); nothing is left.
    """
    conversations: list[Conversation] = []
    faults: collections.Counter[str] = collections.Counter()
    for item in read_conversations(paths):
        if isinstance(item, Conversation):
            conversations.append(item)
        elif skip_bad:
            faults[item.cause] += 1
        else:
            raise item.error()
    if not conversations:
        found = ", ".join(f"{count} x {cause}" for cause, count in sorted(faults.items())) or "no lines"
        raise InputError(", ".join(map(str, paths)), f"holds no conversation ({found})")
    return conversations, dict(sorted(faults.items()))


def parse(line: bytes, place: str) -> Conversation | Fault:
    """One line of a file."""
    try:
        record = _record(line)
        messages = _messages(record.get("messages"), sorted(record))
        return Conversation(_identity(record, messages), messages, place)
    except _Faulty as fault:
        cause, problem, hint = fault.args
        return Fault(cause, problem, place, hint)


def parse_messages(raw: Any) -> tuple[Message, ...]:
    """The messages of a request or file, checked as those of a training line are, but no reply is asked for.

    Raises:
        InputError: they are no conversation.
    """
    try:
        return _messages(raw, [], reply=False)
    except _Faulty as fault:
        _, problem, hint = fault.args
        raise InputError("messages", problem, hint=hint) from fault


def _record(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _Faulty("not_utf8", f"is not UTF-8: {error.reason} at byte {error.start}", None) from error
    except (ValueError, RecursionError) as error:
        raise _Faulty("not_json", f"is not JSON: {error}", "one JSON object a line") from error
    if not isinstance(record, dict):
        raise _Faulty("not_an_object", f"expected an object, found {type(record).__name__}", None)
    return record


def _messages(raw: Any, keys: list[str], *, reply: bool = True) -> tuple[Message, ...]:
    if not isinstance(raw, list) or not raw:
        found = f"; the line has {', '.join(keys)}" if keys else ""
        raise _Faulty("no_messages", f"'messages' must be a list of at least one message{found}", None)
    messages = tuple(_message(item, index) for index, item in enumerate(raw))
    if reply and not any(message.role == "assistant" for message in messages):
        raise _Faulty("no_assistant", "no message of the assistant, so there is nothing to learn", None)
    return messages


def _message(raw: Any, index: int) -> Message:
    where = f"messages[{index}]"
    if not isinstance(raw, dict):
        raise _Faulty("bad_message", f"{where}: expected an object with role and content", None)
    unknown = sorted(set(raw) - {"role", "content", "weight"})
    if any(raw[key] is not None for key in unknown):
        raise _Faulty("unknown_key", f"{where}: unknown key '{unknown[0]}'", "known: role, content, weight")
    role, content, weight = raw.get("role"), raw.get("content"), raw.get("weight")
    if role not in ROLES:
        known = f"known: {', '.join(ROLES)}"
        hint = nearest(role, ROLES) if isinstance(role, str) else None
        raise _Faulty("unknown_role", f"{where}: unknown role {json.dumps(role)}", hint or known)
    if role == "system" and index:
        raise _Faulty("misplaced_system", f"{where}: a system message can only be the first", None)
    if not isinstance(content, str):
        raise _Faulty("bad_content", f"{where}: content must be text, found {type(content).__name__}", None)
    if not content.strip():
        raise _Faulty("empty_content", f"{where}: the content is empty", None)
    if weight not in (None, 0, 1):
        raise _Faulty("bad_weight", f"{where}: weight must be 0 or 1, found {json.dumps(weight)}", None)
    try:
        content.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _Faulty("not_unicode", f"{where}: a lone surrogate at character {error.start}", None) from error
    return Message(role, content, trained=weight != 0)


def _identity(record: Mapping[str, Any], messages: Sequence[Message]) -> str:
    given = record.get("id")
    if isinstance(given, (str, int)) and not isinstance(given, bool) and str(given):
        return str(given).encode("utf-8", "replace").decode()
    text = json.dumps([(message.role, message.content) for message in messages], ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
