import pytest
import torch

from training.model.kv_cache import KVCache


def some_tokens(batch, length):
    return torch.randint(0, 263, (batch, length), generator=torch.Generator().manual_seed(1))


def test_keys_and_values_can_be_cached(model):
    tokens = some_tokens(2, 30)
    cache = KVCache.empty(model.config, 2, 30, model.embed.weight)
    parts = [model(tokens[:, start:stop], cache=cache) for start, stop in ((0, 13), (13, 14), (14, 22), (22, 30))]
    assert (torch.cat(parts, dim=1) - model(tokens)).abs().max() < 1e-12


def test_cached_rows_may_differ_in_length(model):
    tokens = some_tokens(2, 20)
    cache = KVCache.empty(model.config, 2, 25, model.embed.weight)
    model(tokens, cache=cache)  # of the second row only the first 9 are meant
    cache.rewind(torch.tensor([20, 9]))
    following = some_tokens(2, 5)
    found = model(following, cache=cache)
    for row, length in ((0, 20), (1, 9)):
        whole = torch.cat([tokens[row, :length], following[row]])[None]
        assert (found[row] - model(whole)[0, length:]).abs().max() < 1e-12


def test_a_cache_has_no_room_beyond_its_capacity(random_model):
    model = random_model()
    cache = KVCache.empty(model.config, 1, 10, model.embed.weight)
    model(some_tokens(1, 10), cache=cache)
    with pytest.raises(ValueError, match="room for 10 tokens, asked to hold 11"):
        model(some_tokens(1, 1), cache=cache)


def test_a_cache_takes_no_document_ids(random_model):
    model = random_model()
    cache = KVCache.empty(model.config, 1, 10, model.embed.weight)
    with pytest.raises(ValueError, match="document_ids cannot be given"):
        model(some_tokens(1, 4), cache=cache, document_ids=torch.zeros(1, 4))
