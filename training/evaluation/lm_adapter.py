"""Our models under lm-evaluation-harness: the three kinds of request that its tasks make.

Log probabilities are those that the harness's own HFLM finds for the exported model. Like HFLM it puts nothing before
a context unless asked to (`bos`), and the end-of-text token where there is no context.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text

from training.chat.format import Message, render_text, template
from training.chat.vocabulary import Vocabulary
from training.evaluation.scoring import Request, score_long
from training.model.generation import Sampling, stream
from training.model.transformer import Transformer

PORTION = 1024
"""Requests scored between two reports of progress; those of one item stay together, so that its context is shared."""
TokenRequest = tuple[tuple[str, str], list[int], list[int]]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class AdapterOptions:
    """What does not change the model but its requests."""

    bos: bool = False
    """Put the end-of-text token before every context, as before every document in the shards."""
    batch_tokens: int = 8192
    """The most that goes through the model at a time, padding included."""
    max_new_tokens: int = 256
    """For generative tasks that name no limit of their own."""


class TokenmillLM(TemplateLM):  # type: ignore[misc]  # the harness asks for this base class and is untyped
    """A model in this process.

    Args:
        model: in evaluation mode.
        vocabulary: its tokenizer.
        progress: told how many more requests are done.
    """

    def __init__(
        self,
        model: Transformer,
        vocabulary: Vocabulary,
        options: AdapterOptions | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        super().__init__()
        self.model, self.vocabulary, self.options = model, vocabulary, options or AdapterOptions()
        self.progress = progress
        self.truncated = 0
        """Requests whose context was longer than the model's and lost its start."""
        self._device = model.embed.weight.device

    @property
    def eot_token_id(self) -> int:
        """The id at which generation ends."""
        return self.vocabulary.stop_ids[0]

    @property
    def prefix_token_id(self) -> int:
        """The id that stands before the first token of a text."""
        return self.vocabulary.end_of_text_id

    @property
    def max_length(self) -> int:
        """The model's context, in tokens."""
        return self.model.config.context_length

    @property
    def max_gen_toks(self) -> int:
        """Tokens generated where a task says nothing."""
        return self.options.max_new_tokens

    @property
    def batch_size(self) -> int:
        """Sequences of full length that go through the model at a time."""
        return max(1, self.options.batch_tokens // self.max_length)

    @property
    def tokenizer_name(self) -> str:
        """Names the chat format in the harness's cache keys."""
        return "tokenmill-chat" if self.vocabulary.chat else "tokenmill"

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Ids of a text; what the tokenizer itself adds (`add_special_tokens`) never doubles a leading end-of-text."""
        if add_special_tokens is None:
            add_special_tokens = not string.startswith(self.vocabulary.end_of_text)
        ids: list[int] = self.vocabulary.tokenizer.encode(string, add_special_tokens=add_special_tokens).ids
        return ids

    def tok_decode(self, tokens: Sequence[int], skip_special_tokens: bool = True) -> str:
        """The text of ids."""
        return str(self.vocabulary.tokenizer.decode(list(tokens), skip_special_tokens=skip_special_tokens))

    def _loglikelihood_tokens(self, requests: Sequence[TokenRequest], **_: Any) -> list[tuple[float, bool]]:
        found: list[tuple[float, bool]] = []
        for start in range(0, len(requests), PORTION):
            portion = requests[start : start + PORTION]
            pairs = [self._request(*request) for request in portion]
            scores = score_long(self.model, pairs, batch_tokens=self.options.batch_tokens)
            for request, score in zip(portion, scores, strict=True):
                found.append((score.log_probability, score.greedy))
                self.cache_hook.add_partial("loglikelihood", request[0], found[-1])
            self.progress(len(portion))
        return found

    def _request(self, texts: tuple[str, str], context: list[int], continuation: list[int]) -> Request:
        if not continuation:  # the tokenizer merged it into the context: encode it alone
            continuation = self.tok_encode(texts[1], add_special_tokens=False) or [self.eot_token_id]
        if self.options.bos and context[:1] != [self.prefix_token_id]:
            context = [self.prefix_token_id, *context]
        self.truncated += len(context) + len(continuation) > self.max_length + 1
        return context or [self.prefix_token_id], continuation

    def loglikelihood_rolling(self, requests: Sequence[Instance], **_: Any) -> list[float]:
        """The log probability of whole texts, each token once, after as much context as fits."""
        texts = [request.args[0] for request in requests]
        pairs = [([self.prefix_token_id], self.tok_encode(text)) for text in texts]
        filled = [number for number, (_, ids) in enumerate(pairs) if ids]
        scores = score_long(self.model, [pairs[i] for i in filled], batch_tokens=self.options.batch_tokens)
        found = dict(zip(filled, (score.log_probability for score in scores), strict=True))
        self.progress(len(texts))
        return [found.get(number, 0.0) for number in range(len(texts))]

    def generate_until(self, requests: Sequence[Instance], **_: Any) -> list[str]:
        """What the model writes after each context, up to the first stop string."""
        prepared = [(*request.args, number) for number, request in enumerate(requests)]
        groups: dict[str, list[tuple[list[int], int]]] = {}
        settings: dict[str, dict[str, Any]] = {}
        for context, arguments, number in prepared:
            key = repr(sorted(arguments.items(), key=str))
            settings[key] = normalize_gen_kwargs(arguments, self.max_gen_toks)
            ids = self.tok_encode(context) or [self.prefix_token_id]
            if self.options.bos and ids[0] != self.prefix_token_id:
                ids = [self.prefix_token_id, *ids]
            groups.setdefault(key, []).append((ids, number))
        found: dict[int, str] = {}
        for key, rows in groups.items():
            rows.sort(key=lambda row: len(row[0]))
            for start in range(0, len(rows), self._rows_at_once(rows)):
                batch = rows[start : start + self._rows_at_once(rows)]
                texts = self._generate([ids for ids, _ in batch], settings[key])
                found |= {number: text for (_, number), text in zip(batch, texts, strict=True)}
                self.progress(len(batch))
        for context, arguments, number in prepared:
            self.cache_hook.add_partial("generate_until", (context, arguments), found[number])
        return [found[number] for number in range(len(requests))]

    def _rows_at_once(self, rows: list[tuple[list[int], int]]) -> int:
        longest = min(self.max_length, max(len(ids) for ids, _ in rows) + self.max_gen_toks)
        return max(1, self.options.batch_tokens // longest)

    def _generate(self, prompts: list[list[int]], arguments: dict[str, Any]) -> list[str]:
        """One batch; a row ends at a stop string, a stop id, or its limit."""
        eos = self.tok_decode([self.eot_token_id], skip_special_tokens=False)
        stops = handle_stop_sequences(arguments.get("until"), eos=eos)
        # At least half of the context stays for the prompt, of which the end is kept.
        room = min(int(arguments["max_gen_toks"]), self.max_length // 2)
        self.truncated += sum(len(ids) > self.max_length - room for ids in prompts)
        prompts = [ids[-(self.max_length - room) :] for ids in prompts]
        warm = bool(arguments.get("do_sample"))
        sampling = Sampling(
            max_tokens=room,
            temperature=float(arguments.get("temperature", 1.0)) if warm else 0.0,
            top_k=arguments.get("top_k") if warm else None,
            top_p=arguments.get("top_p") if warm else None,
        )
        written: list[list[int]] = [[] for _ in prompts]
        texts = [""] * len(prompts)
        done = [False] * len(prompts)
        for step in stream(self.model, prompts, sampling, stop=self.vocabulary.stop_ids):
            for row, token in enumerate(step):
                if token is None or done[row]:
                    done[row] = True
                    continue
                written[row].append(token)
                texts[row] = self.tok_decode([id for id in written[row] if id not in self.vocabulary.stop_ids])
                done[row] = token in self.vocabulary.stop_ids or any(stop and stop in texts[row] for stop in stops)
            if all(done):
                break
        return [postprocess_generated_text(text, stops, None) for text in texts]

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The conversation as text, for `--chat`."""
        messages = [Message(message["role"], message["content"]) for message in chat_history]  # type: ignore[arg-type]
        bos = self.vocabulary.end_of_text
        return render_text(messages, bos, reply=add_generation_prompt, open_end=not add_generation_prompt)

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The Jinja text of the chat format."""
        return template() if chat_template and self.vocabulary.chat else None
