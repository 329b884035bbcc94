"""Talk to a checkpoint: `sample` goes on from a prompt, `chat` answers a user, both as the words come."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from tokenizers.decoders import DecodeStream

from pipeline.contract.errors import ConfigError
from training.chat.format import Message
from training.chat.loaded_model import LoadedModel, load_model
from training.chat.vocabulary import Vocabulary
from training.model.generation import Sampling, stream

HELP = "/system TEXT sets the system message, /reset forgets the conversation, /quit (or Ctrl-D) ends it"


def run_sample(
    path: str | Path,
    prompts: Sequence[str],
    sampling: Sampling,
    *,
    chat: bool = False,
    device: str = "auto",
    sink: TextIO | None = None,
) -> list[str]:
    """Go on from each prompt, printing as it comes.

    Args:
        path: a checkpoint, or a run folder.
        prompts: texts; an empty one starts a document.
        chat: put each prompt as a user's message, and print the reply.
        sink: where to print; None: stdout.

    Returns:
        What was written, one text per prompt.

    Raises:
        InputError: no checkpoint, or `chat` with a model that was not taught the chat format.
        ConfigError: a prompt that leaves no room in the model's context, or a device that is not there.
    """
    sink = sink or sys.stdout
    opened = load_model(path, device)
    written = []
    for number, text in enumerate(prompts):
        if chat:
            ids = opened.format().prompt([Message("user", text)])
        else:
            ids = [opened.vocabulary.end_of_text_id, *opened.vocabulary.encode(text)]
            print(text, end="", file=sink, flush=True)
        mine = dataclasses.replace(sampling, seed=sampling.seed + number)
        written.append(_print(reply(opened, ids, mine), sink))
    return written


def reply(opened: LoadedModel, ids: Sequence[int], sampling: Sampling) -> Iterator[str]:
    """The text that follows `ids`, in pieces as they come; whole characters only.

    Raises:
        ConfigError: `ids` leave no room in the model's context.
    """
    context = opened.model.config.context_length
    if len(ids) >= context:
        raise ConfigError("prompt", f"has {len(ids)} tokens; the model's context takes {context - 1}")
    steps = stream(opened.model, [ids], sampling, stop=opened.vocabulary.stop_ids)
    return text_pieces(opened.vocabulary, (token for (token,) in steps if token is not None))


def text_pieces(vocabulary: Vocabulary, tokens: Iterable[int]) -> Iterator[str]:
    """The text of `tokens` up to a stop id; a character is held back until all its bytes are there."""
    decoder = DecodeStream(skip_special_tokens=True)
    for token in tokens:
        if token in vocabulary.stop_ids:
            return
        if piece := decoder.step(vocabulary.tokenizer, token):
            yield piece


def _print(pieces: Iterator[str], sink: TextIO) -> str:
    text = ""
    for piece in pieces:
        text += piece
        print(piece, end="", file=sink, flush=True)
    print(file=sink, flush=True)
    return text


def run_chat(
    path: str | Path,
    sampling: Sampling,
    *,
    system: str | None = None,
    device: str = "auto",
    source: TextIO | None = None,
    sink: TextIO | None = None,
) -> None:
    """Answer a user line by line until the end of the input; without a terminal only replies are printed.

    Args:
        path: a checkpoint, or a run folder.
        system: what the conversation starts with.
        source: where lines come from; None: stdin.
        sink: where replies go; None: stdout.

    Raises:
        InputError: no checkpoint, or a model that was not taught the chat format.
        ConfigError: a message that leaves no room in the model's context, or a device that is not there.
    """
    source, sink = source or sys.stdin, sink or sys.stdout
    opened = load_model(path, device)
    opened.format()  # refuse a base model before the first question
    terminal = source.isatty() and sink.isatty()
    if terminal:
        print(f"{opened.checkpoint.path}, step {opened.checkpoint.progress.step}. {HELP}", file=sink)
    session = ChatSession(opened, sampling, system, sink)
    for line in _lines(source, sink, terminal):
        if line in ("/quit", "/exit"):
            return
        try:
            session.take(line)
        except ConfigError as error:
            if not terminal:
                raise
            print(error, file=sink)


class ChatSession:
    """One conversation."""

    def __init__(self, opened: LoadedModel, sampling: Sampling, system: str | None, sink: TextIO) -> None:
        self._opened, self._sampling, self._sink = opened, sampling, sink
        self._format = opened.format()
        self._system, self._turns = system, 0
        self.history: list[Message] = []

    def take(self, line: str) -> None:
        """Do what a line says: a command, or a message to answer.

        Raises:
            ConfigError: the message alone leaves no room in the model's context.
        """
        command, _, rest = line.partition(" ")
        if command == "/reset":
            self.history = []
        elif command == "/system":
            self._system, self.history = rest.strip() or None, []
        elif command == "/help":
            print(HELP, file=self._sink)
        elif line:
            self._answer(line)

    def _answer(self, text: str) -> None:
        history = [*self.history, Message("user", text)]
        ids = self._prompt(history)
        sampling = dataclasses.replace(self._sampling, seed=self._sampling.seed + self._turns)
        said = ""
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends a reply, not the conversation
            for piece in reply(self._opened, ids, sampling):
                said += piece
                print(piece, end="", file=self._sink, flush=True)
        print(file=self._sink, flush=True)
        self.history = [*history, Message("assistant", said)]
        self._turns += 1

    def _prompt(self, history: list[Message]) -> list[int]:
        """The conversation as ids; the oldest turns leave `history` where there would be no room for a reply."""
        context = self._opened.model.config.context_length
        room = min(self._sampling.max_tokens, context // 4)
        start = [Message("system", self._system)] if self._system else []
        while len(ids := self._format.prompt([*start, *history])) + room > context:
            if len(history) == 1:
                raise ConfigError("message", f"leaves no room for a reply: {len(ids)} tokens of {context}")
            del history[:2]
        return ids


def _lines(source: TextIO, sink: TextIO, terminal: bool) -> Iterator[str]:
    """Lines without their end."""
    while True:
        if terminal:
            print("> ", end="", file=sink, flush=True)
        try:
            line = source.readline()
        except KeyboardInterrupt:
            return
        if not line:
            return
        yield line.strip()
