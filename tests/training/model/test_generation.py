import pytest
import torch

from training.model.generation import Sampling, choose, generate, restrict

PROMPTS = [[1, 2, 3], [5] * 20, [7]]


@pytest.fixture(params=["llama", "gpt2"])
def model(request, random_model):
    return random_model(type=request.param)


def test_greedy_text_is_what_the_whole_forward_pass_finds_likeliest(model):
    written = generate(model, PROMPTS, Sampling(max_tokens=25, temperature=0))
    for prompt, row in zip(PROMPTS, written, strict=True):
        sequence = list(prompt)
        for token in row:
            logits = model(torch.tensor([sequence]))[0, -1]
            assert logits[token] >= logits.max() - 1e-4
            sequence.append(token)
        assert len(row) == 25


def test_what_a_prompt_gets_does_not_depend_on_its_neighbours(model):
    sampling = Sampling(max_tokens=20, temperature=0.9, top_k=40, seed=3)
    together = generate(model, PROMPTS, sampling)
    assert together[0] == generate(model, PROMPTS[:1], sampling)[0]
    assert together == generate(model, PROMPTS, sampling)
    assert together != generate(model, PROMPTS, Sampling(max_tokens=20, temperature=0.9, top_k=40, seed=4))


def test_a_row_ends_at_a_stop_and_the_others_go_on(model):
    greedy = Sampling(max_tokens=10, temperature=0)
    free = generate(model, PROMPTS[:2], greedy)
    stop = next(token for token in free[0] if token not in free[1])
    first, second = generate(model, PROMPTS[:2], greedy, stop=[stop])
    assert first == free[0][: free[0].index(stop) + 1]
    assert second == free[1]


def test_text_ends_where_the_context_does(model):
    assert len(generate(model, [[1] * 45], Sampling(max_tokens=100))[0]) == 3


@pytest.mark.parametrize(
    ("prompts", "problem"),
    [
        ([], "no prompts"),
        ([[1], []], "prompt 1 has 0 tokens; the context takes from 1 to 47"),
        ([[1] * 48], "prompt 0 has 48 tokens"),
        ([[263]], "prompt 0 has an id outside the vocabulary of 263"),
        ([[-1]], "prompt 0 has an id outside the vocabulary of 263"),
    ],
)
def test_impossible_prompts(model, prompts, problem):
    with pytest.raises(ValueError, match=problem):
        generate(model, prompts, Sampling())


def kept(probabilities, **fields):
    logits = torch.tensor([probabilities]).log()
    return restrict(logits, Sampling(**fields)).isfinite()[0].tolist()


def test_top_k_keeps_the_k_likeliest():
    assert kept([0.1, 0.4, 0.2, 0.3], top_k=2) == [False, True, False, True]
    assert kept([0.1, 0.4, 0.2, 0.3], top_k=9) == [True] * 4


def test_top_p_keeps_the_fewest_that_have_the_probability():
    assert kept([0.1, 0.4, 0.2, 0.3], top_p=0.69) == [False, True, False, True]
    assert kept([0.1, 0.4, 0.2, 0.3], top_p=0.71) == [False, True, True, True]
    assert kept([0.1, 0.4, 0.2, 0.3], top_p=0.01) == [False, True, False, False]
    assert kept([0.1, 0.4, 0.2, 0.3], top_p=1.0) == [True] * 4


def test_top_p_counts_what_top_k_left():
    assert kept([0.1, 0.4, 0.2, 0.3], top_k=2, top_p=0.5) == [False, True, False, False]


def draw(probabilities, times, **fields):
    """How often each id was drawn."""
    logits = torch.tensor(probabilities).log().expand(times, -1)
    generators = [torch.Generator().manual_seed(row) for row in range(times)]
    return torch.bincount(torch.tensor(choose(logits, Sampling(**fields), generators)), minlength=len(probabilities))


def test_draws_follow_the_probabilities():
    counts = draw([0.0, 0.5, 0.0, 0.3, 0.2, 0.0], 4000)
    assert counts[[0, 2, 5]].tolist() == [0, 0, 0]
    assert (counts / 4000)[[1, 3, 4]].tolist() == pytest.approx([0.5, 0.3, 0.2], abs=0.03)


def test_a_low_temperature_sharpens_and_zero_decides():
    assert draw([0.4, 0.6], 2000, temperature=0.5)[1] / 2000 == pytest.approx(0.6923, abs=0.03)  # .36 / (.36 + .16)
    assert draw([0.4, 0.6], 100, temperature=0).tolist() == [0, 100]


@pytest.mark.parametrize(
    "fields", [{"temperature": -0.1}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.1}, {"max_tokens": 0}]
)
def test_impossible_sampling(fields):
    with pytest.raises(ValueError, match=f"{next(iter(fields))}: must be"):
        Sampling(**fields)
