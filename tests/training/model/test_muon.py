import torch

from training.model.muon import Muon, orthogonalize


def test_muon_is_the_librarys_on_whole_matrices():
    generator = torch.Generator().manual_seed(1)
    shapes = ((24, 8), (8, 24), (16, 16))
    start = [torch.randn(shape, generator=generator) for shape in shapes]
    ours, theirs = ([torch.nn.Parameter(value.clone()) for value in start] for _ in range(2))
    mine = Muon(ours, lr=0.02, weight_decay=0.1)
    library = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        for a, b, shape in zip(ours, theirs, shapes, strict=True):
            a.grad = torch.randn(shape, generator=generator)
            b.grad = a.grad.clone()
        mine.step()
        library.step()
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a, b, atol=1e-4)
        assert a.grad is not None


def test_an_orthogonalised_matrix_has_singular_values_near_one():
    matrix = torch.randn(40, 12, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonalize(matrix).float())
    assert values.min() > 0.6
    assert values.max() < 1.3
