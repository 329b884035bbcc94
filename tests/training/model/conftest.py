"""Models of each family."""

import pytest

FAMILIES = ({"type": "llama", "num_kv_heads": 2}, {"type": "llama", "tie_word_embeddings": False}, {"type": "gpt2"})


@pytest.fixture(params=FAMILIES, ids=["llama", "untied", "gpt2"])
def model(request, random_model):
    return random_model(**request.param).double()
