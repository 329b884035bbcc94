import math

import numpy as np
import pytest
import torch

from training.data.batches import IGNORE_INDEX
from training.losses import bits_per_byte, chunked_head_losses, dense_head_losses, sparse_head_losses


def test_a_uniform_guess_over_bytes_scores_8():
    assert bits_per_byte(np.full(10, math.log(256)), np.ones(10, dtype=np.int64)) == pytest.approx(8)


def test_tokens_without_bytes_count_on_neither_side():
    assert bits_per_byte(np.array([math.log(2), 99.0]), np.array([4, 0])) == pytest.approx(0.25)


def test_no_bytes_is_an_error_not_infinity():
    with pytest.raises(ValueError, match="all 2 targets have byte length 0"):
        bits_per_byte(np.ones(2), np.zeros(2, dtype=np.int64))


def test_nats_of_a_uniform_head():
    nats = dense_head_losses(torch.zeros(3, 4), torch.ones(64, 4), torch.tensor([0, 49, IGNORE_INDEX]), 50)
    assert nats.tolist() == pytest.approx([3.912, 3.912, 0.0], abs=1e-3)  # ln 50


def test_the_sparse_head_has_the_losses_and_gradients_of_the_dense_one():
    generator = torch.Generator().manual_seed(1)
    targets = torch.tensor([3, IGNORE_INDEX, 0, 49, IGNORE_INDEX])
    found = []
    for head in (dense_head_losses, sparse_head_losses):
        generator.manual_seed(1)
        x, weight = (torch.randn(rows, 8, generator=generator).requires_grad_() for rows in (5, 64))
        losses = head(x, weight, targets, 50)
        losses.sum().backward()
        found.append((losses.detach(), x.grad, weight.grad))
    for dense, sparse in zip(*found, strict=True):
        assert torch.allclose(dense, sparse, atol=1e-6)
    assert found[1][0][1] == found[1][0][4] == 0


@pytest.mark.parametrize("head", [dense_head_losses, sparse_head_losses])
def test_without_a_supervised_row_the_gradient_is_zero_and_not_missing(head):
    """A sharded backward pass waits for every parameter."""
    x, weight = torch.ones(2, 4, requires_grad=True), torch.ones(64, 4, requires_grad=True)
    head(x, weight, torch.full((2,), IGNORE_INDEX), 50).sum().backward()
    assert not x.grad.any()
    assert not weight.grad.any()


@pytest.mark.parametrize("chunk", [1, 2, 5, 9, None])
def test_chunks_change_no_loss(chunk):
    generator = torch.Generator().manual_seed(1)
    x, weight = (torch.randn(rows, 8, generator=generator) for rows in (5, 64))
    targets = torch.tensor([3, IGNORE_INDEX, 0, 49, 7])
    whole = dense_head_losses(x, weight, targets, 50)
    assert torch.allclose(chunked_head_losses(dense_head_losses, x, weight, targets, 50, chunk=chunk), whole, atol=1e-6)
