"""Batched scores equal those of one full forward pass each, whatever is batched with whatever."""

from collections.abc import Callable

import pytest
import torch

from training.evaluation.scoring import Request, Score, score, score_long
from training.model.transformer import Transformer


def one_by_one(model: Transformer, context: list[int], continuation: list[int]) -> Score:
    ids = [*context, *continuation][-model.config.context_length - 1 :]
    scores = model(torch.tensor([ids[:-1]])).float().log_softmax(-1)[0, -len(continuation) :]
    wanted = torch.tensor(continuation)
    return Score(scores.gather(1, wanted[:, None]).sum().item(), bool((scores.argmax(-1) == wanted).all()))


def random_requests(count: int, vocabulary: int) -> list[Request]:
    generator = torch.Generator().manual_seed(1)
    draw = lambda most: int(torch.randint(1, most + 1, (1,), generator=generator))  # noqa: E731
    requests: list[Request] = []
    for _ in range(count):
        context = torch.randint(0, vocabulary, (draw(60),), generator=generator).tolist()
        for _ in range(draw(4)):
            requests.append((context, torch.randint(0, vocabulary, (draw(20),), generator=generator).tolist()))
    return requests


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("batch_tokens", [1, 400, 100_000])
def test_scores_equal_full_passes(random_model: Callable[..., Transformer], kind: str, batch_tokens: int) -> None:
    model = random_model(type=kind, num_kv_heads=2)
    requests = random_requests(12, 263)
    found = score(model, requests, batch_tokens=batch_tokens)
    wanted = [one_by_one(model, list(context), list(continuation)) for context, continuation in requests]
    assert [one.greedy for one in found] == [one.greedy for one in wanted]
    for mine, theirs in zip(found, wanted, strict=True):
        assert mine.log_probability == pytest.approx(theirs.log_probability, abs=2e-4)


def test_the_most_probable_continuation_is_greedy(random_model: Callable[..., Transformer]) -> None:
    model = random_model()
    best = []
    for _ in range(3):
        best.append(int(model(torch.tensor([[7, 8, *best]]))[0, -1].argmax()))
    worse = [*best[:2], (best[2] + 1) % 263]
    assert [one.greedy for one in score(model, [([7, 8], best), ([7, 8], worse)])] == [True, False]


def test_a_long_continuation_is_scored_in_pieces_each_token_once(random_model: Callable[..., Transformer]) -> None:
    model = random_model(context_length=8)
    ids = torch.randint(0, 263, (21,), generator=torch.Generator().manual_seed(2)).tolist()
    pieces = [one_by_one(model, [256], ids[:8]), one_by_one(model, ids[:8], ids[8:16]),
              one_by_one(model, ids[:16], ids[16:])]  # fmt: skip
    [found] = score_long(model, [([256], ids)])
    assert found.log_probability == pytest.approx(sum(piece.log_probability for piece in pieces), abs=1e-4)


def test_the_same_request_twice_and_no_request(random_model: Callable[..., Transformer]) -> None:
    model = random_model()
    first, second, third = score(model, [([1], [2]), ([1], [3]), ([1], [2])])
    assert first == third != second
    assert score(model, []) == []


@pytest.mark.parametrize("request_", [([], [1]), ([1], []), ([1], [2] * 49)])
def test_what_cannot_be_scored_is_refused(random_model: Callable[..., Transformer], request_: Request) -> None:
    with pytest.raises(ValueError, match="request 0 has"):
        score(random_model(), [request_])


def test_the_head_of_the_model_is_put_back(random_model: Callable[..., Transformer]) -> None:
    model = random_model()
    before = model.head_losses
    score(model, [([1], [2])])
    assert model.head_losses is before
