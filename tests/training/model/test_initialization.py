import pytest
import torch

from training.config import ModelConfig
from training.model.initialization import initial_value, new_model


def test_initial_values_depend_on_seed_and_name_alone():
    config = ModelConfig(vocab_size=100, num_layers=2, hidden_size=64, num_heads=2)
    shape = torch.Size([64, 64])
    again = initial_value("blocks.0.attention.q.weight", shape, config, 1)
    assert torch.equal(again, initial_value("blocks.0.attention.q.weight", shape, config, 1))
    assert not torch.equal(again, initial_value("blocks.1.attention.q.weight", shape, config, 1))
    assert not torch.equal(again, initial_value("blocks.0.attention.q.weight", shape, config, 2))


@pytest.mark.parametrize(
    ("name", "std"),
    [
        ("blocks.0.attention.q.weight", 0.02),
        ("blocks.0.attention.o.weight", 0.005),
        ("blocks.3.mlp.down.weight", 0.005),
        ("positions.weight", 0.01),
        ("head.weight", 0.02),
    ],
)
def test_initial_spread(name, std):
    config = ModelConfig(vocab_size=512, num_layers=8, hidden_size=64, num_heads=2)
    assert initial_value(name, torch.Size([512, 64]), config, 1).std().item() == pytest.approx(std, rel=0.03)


def test_norms_start_at_one_and_biases_and_padding_at_zero():
    model = new_model(ModelConfig(type="gpt2", vocab_size=70, num_layers=1, hidden_size=32, num_heads=2), seed=1)
    assert (model.blocks[0].mlp_norm.weight == 1).all()
    assert (model.blocks[0].mlp_norm.bias == 0).all()
    assert (model.blocks[0].mlp.up.bias == 0).all()
    assert (model.embed.weight[70:] == 0).all()
    assert (model.embed.weight[:70] != 0).all()


def test_a_new_model_guesses_evenly():
    config = ModelConfig(vocab_size=512, num_layers=4, hidden_size=64, num_heads=4)
    tokens = torch.randint(0, 512, (4, 64), generator=torch.Generator().manual_seed(1))
    nats = new_model(config, seed=1)(tokens, targets=tokens.roll(-1, 1))
    assert nats.mean().item() == pytest.approx(6.238, abs=0.05)  # ln 512


def test_a_model_needs_its_vocabulary():
    with pytest.raises(ValueError, match="vocab_size: is null"):
        new_model(ModelConfig(), seed=1)
