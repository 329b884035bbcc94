import pytest
import torch
import torch.nn.functional as F

from training.config import ModelConfig
from training.data.batches import IGNORE_INDEX
from training.model.transformer import (
    attend,
    dense_document_mask,
    flex_document_mask,
    positions_in_documents,
    rotary,
    rotate,
)


def some_tokens(batch, length):
    return torch.randint(0, 263, (batch, length), generator=torch.Generator().manual_seed(1))


def test_a_token_sees_none_after_it(model):
    tokens = some_tokens(1, 20)
    changed = tokens.clone()
    changed[0, 12] = (tokens[0, 12] + 1) % 263
    before, after = model(tokens), model(changed)
    assert torch.equal(before[:, :12], after[:, :12])
    assert not torch.allclose(before[:, 12], after[:, 12])


def test_packed_documents_with_a_mask_are_documents_apart(model):
    tokens = some_tokens(1, 40)
    ids = torch.tensor([[3] * 11 + [4] * 1 + [7] * 28])
    packed = model(tokens, document_ids=ids)
    for start, stop in ((0, 11), (11, 12), (12, 40)):
        apart = model(tokens[:, start:stop])
        assert (packed[:, start:stop] - apart).abs().max() < 1e-12
    unmasked = model(tokens)
    assert (unmasked[:, 12:] - packed[:, 12:]).abs().max() > 0.1


def test_the_loss_is_the_cross_entropy_of_the_logits(model):
    tokens, targets = some_tokens(2, 16), some_tokens(2, 17)[:, 1:].clone()
    targets[0, 3:7] = IGNORE_INDEX
    nats = model(tokens, targets=targets)
    expected = F.cross_entropy(model(tokens).flatten(0, 1).float(), targets.flatten(), reduction="none").view(2, 16)
    assert torch.allclose(nats, expected, atol=1e-5)
    assert nats.dtype == torch.float32
    assert (nats[0, 3:7] == 0).all()


@pytest.mark.parametrize("chunk", [1, 7, 32, 100])
def test_the_loss_in_chunks_is_the_same_with_the_same_gradient(random_model, chunk):
    model = random_model(num_kv_heads=1).requires_grad_(True)
    tokens, targets = some_tokens(2, 16), some_tokens(2, 16).roll(-1, 1)
    found = []
    for loss_chunk in (None, chunk):
        model.zero_grad()
        nats = model(tokens, targets=targets, loss_chunk=loss_chunk)
        nats.sum().backward()
        found.append((nats.detach(), model.embed.weight.grad))
    assert torch.allclose(found[0][0], found[1][0], atol=1e-5)
    assert torch.allclose(found[0][1], found[1][1], atol=1e-4)


def test_padding_of_the_vocabulary_takes_no_part(random_model):
    model = random_model(vocab_size=263, tie_word_embeddings=False)
    tokens = some_tokens(1, 8)
    assert model.embed.weight.shape[0] == model.head.weight.shape[0] == 320
    before = model(tokens), model(tokens, targets=tokens)
    with torch.no_grad():
        model.head.weight[263:] = 1e4
    after = model(tokens), model(tokens, targets=tokens)
    assert before[0].shape == (1, 8, 263)
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])


def test_fewer_key_heads_are_shared_by_the_query_heads(random_model):
    grouped = random_model(num_heads=4, num_kv_heads=2)
    full = random_model(num_heads=4)
    weights = grouped.state_dict()
    for name in list(weights):
        if ".attention.k." in name or ".attention.v." in name:
            weights[name] = weights[name].unflatten(0, (2, 8)).repeat_interleave(2, dim=0).flatten(0, 1)
    full.load_state_dict(weights)
    tokens = some_tokens(2, 12)
    assert torch.allclose(grouped(tokens), full(tokens), atol=1e-5)


def test_rotation_depends_on_the_distance_alone():
    config = ModelConfig(hidden_size=16, num_heads=2)
    q, k = torch.randn(2, 1, 1, 1, 8, generator=torch.Generator().manual_seed(1)).double()
    products = []
    for first, second in ((0, 5), (100, 105)):
        turned = [rotate(x, rotary(torch.tensor([at]), config)) for x, at in ((q, first), (k, second))]
        products.append((turned[0] * turned[1]).sum().item())
    assert products[0] == pytest.approx(products[1], abs=1e-4)
    assert rotate(q, rotary(torch.tensor([5]), config)).norm() == pytest.approx(q.norm().item(), abs=1e-5)


def test_rotation_pairs_the_halves():
    """Position 1, pair 0 of (x0, x2): turned by 1 radian, the layout of Hugging Face's checkpoints."""
    config = ModelConfig(hidden_size=4, num_heads=1)
    turned = rotate(torch.tensor([[[[1.0, 0.0, 0.0, 0.0]]]]), rotary(torch.tensor([1]), config))
    assert torch.allclose(turned, torch.tensor([[[[0.5403, 0.0, 0.8415, 0.0]]]]), atol=1e-4)


def test_positions_start_again_in_each_document():
    ids = torch.tensor([[5, 5, 5, 9, 9, 2], [0, 1, 1, 1, 1, 1]])
    assert positions_in_documents(ids).tolist() == [[0, 1, 2, 0, 1, 0], [0, 0, 1, 2, 3, 4]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="FlexAttention has a backward pass on a GPU only")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_flex_attention_is_masked_attention(dtype):
    generator = torch.Generator().manual_seed(1)
    q, k, v = (torch.randn(2, heads, 300, 64, generator=generator).to("cuda", dtype) for heads in (8, 2, 2))
    ids = torch.randint(0, 5, (2, 300), generator=generator).sort(dim=1).values.cuda()
    upstream = torch.randn(2, 8, 300, 64, generator=generator).to("cuda", dtype)
    found = []
    for mask, inputs in (
        (flex_document_mask(ids), [x.clone().requires_grad_() for x in (q, k, v)]),
        (dense_document_mask(ids), [x.double().requires_grad_() for x in (q, k, v)]),
    ):
        y = attend(*inputs, mask)
        y.backward(upstream.to(y.dtype))
        found.append([y, *(x.grad for x in inputs)])
    limit = 2e-2 if dtype == torch.bfloat16 else 2e-3  # TF32 products
    for flex, reference in zip(*found, strict=True):
        assert (flex.double() - reference).abs().max() < limit * reference.abs().max()
