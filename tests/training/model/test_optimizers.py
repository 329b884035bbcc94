import math

import pytest
import torch

from training.config import ModelConfig, OptimizerConfig
from training.model.initialization import new_model
from training.model.optimizers import build_optimizers, learning_rate

SHAPE = ModelConfig(type="gpt2", vocab_size=70, context_length=16, num_layers=2, hidden_size=32, num_heads=2)


def rates(steps, **fields):
    config = OptimizerConfig(learning_rate=1.0, **fields)
    return [round(learning_rate(config, step, steps), 4) for step in range(steps)]


def test_cosine_with_warmup():
    found = rates(11, schedule="cosine", warmup_steps=2, min_lr_ratio=0.1)
    assert found[:3] == [0.3333, 0.6667, 1.0]
    assert found[6] == pytest.approx(0.55)
    assert found[-1] == 0.1
    assert found[2:] == sorted(found[2:], reverse=True)


def test_wsd_is_flat_then_falls_in_a_line():
    found = rates(10, schedule="wsd", warmup_steps=1, decay_fraction=0.4, min_lr_ratio=0.0)
    assert found == [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]


def test_without_warmup_the_first_update_is_at_the_peak():
    assert rates(3, warmup_steps=0)[0] == 1.0
    assert rates(1, warmup_steps=0) == [1.0]


def test_only_matrices_and_tables_decay():
    model = new_model(SHAPE, seed=1)
    [adamw] = build_optimizers(model, OptimizerConfig(weight_decay=0.1)).parts
    decays = {id(p): group["weight_decay"] for group in adamw.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        expected = 0.0 if "norm" in name or name.endswith("bias") else 0.1
        assert decays[id(parameter)] == expected, name
    assert len(decays) == len(list(model.parameters()))


def test_muon_takes_the_matrices_of_the_blocks_and_adamw_the_rest():
    model = new_model(SHAPE, seed=1)
    adamw, muon = build_optimizers(model, OptimizerConfig(name="muon")).parts
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    taken = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    assert taken == {
        f"blocks.{n}.{part}.weight"
        for n in range(2)
        for part in ("attention.q", "attention.k", "attention.v", "attention.o", "mlp.up", "mlp.down")
    }
    rest = {names[id(p)] for group in adamw.param_groups for p in group["params"]}
    assert rest == set(names.values()) - taken


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_the_state_goes_on_where_it_was(name):
    """Three steps, or two steps, the state copied to a new optimizer, one step: the same bits."""
    config = OptimizerConfig(name=name, learning_rate=0.01)
    models = [new_model(SHAPE, seed=1) for _ in range(2)]
    whole, parts = (build_optimizers(model, config) for model in models)
    for step in range(3):
        if step == 2:
            successor = build_optimizers(models[1], config)
            fresh = successor.tensors()
            assert {key.split(".")[0] for key in fresh} == {"optimizer"}
            for key, value in parts.tensors().items():
                fresh[key].copy_(value)
            parts = successor
        for model, optimizers in zip(models, (whole, parts), strict=True):
            tokens = torch.randint(0, 70, (2, 8), generator=torch.Generator().manual_seed(step))
            model(tokens, targets=tokens).sum().backward()
            optimizers.set_learning_rate(0.01)
            optimizers.step()
            optimizers.zero_grad()
    for (key, a), b in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        assert torch.equal(a, b), key


def test_making_the_state_changes_no_parameter():
    model = new_model(SHAPE, seed=1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizers = build_optimizers(model, OptimizerConfig())
    state = optimizers.tensors()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert state["optimizer.embed.weight.exp_avg"].abs().sum() == 0
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"learning_rate": -1.0}, "learning_rate: must be at least 0, got -1.0"),
        ({"beta2": 1.0}, "beta2: must be from 0 to below 1, got 1.0"),
        ({"min_lr_ratio": 1.5}, "min_lr_ratio: must be at most 1, got 1.5"),
        ({"max_grad_norm": 0.0}, "max_grad_norm: must be above 0, got 0.0"),
    ],
)
def test_impossible_settings(fields, problem):
    with pytest.raises(ValueError, match=problem):
        OptimizerConfig(**fields)


def test_cosine_is_the_published_curve():
    config = OptimizerConfig(learning_rate=2.0, warmup_steps=10, min_lr_ratio=0.0)
    assert learning_rate(config, 35, 111) == pytest.approx(1 + math.cos(math.pi / 4))
