import pytest

from training.config import ModelConfig
from training.model.flops import flops_per_token, parameter_count, peak_flops


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [
        ("NVIDIA H200", 989.4),
        ("NVIDIA GH200 480GB", 989.4),
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756.5),
        ("NVIDIA H100 NVL", 835.5),
        ("NVIDIA H20", 148.0),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA A100-PCIE-40GB", 312.0),
        ("NVIDIA A40", 149.7),
        ("NVIDIA B200", 2250.0),
        ("NVIDIA GB200", 2500.0),
        ("NVIDIA L4", 121.0),
        ("NVIDIA L40S", 362.0),
    ],
)
def test_known_peaks(name, teraflops):
    assert peak_flops(name) == teraflops * 1e12


@pytest.mark.parametrize(
    "name", ["NVIDIA GeForce RTX 4090", "NVIDIA RTX A4000", "NVIDIA A100-SXM4-80GB MIG 3g.40gb", "Tesla V100", "cpu"]
)
def test_an_unknown_device_has_no_peak_rather_than_a_wrong_one(name):
    assert peak_flops(name) is None


GPT2 = ModelConfig(type="gpt2", vocab_size=50_257)
LLAMA_8B = ModelConfig(
    vocab_size=128_256,
    context_length=8192,
    num_layers=32,
    hidden_size=4096,
    num_heads=32,
    num_kv_heads=8,
    intermediate_size=14_336,
    tie_word_embeddings=False,
)


def test_parameters_of_the_published_shapes():
    assert parameter_count(GPT2) == 124_439_808
    assert parameter_count(LLAMA_8B) == 8_030_261_248
    assert parameter_count(GPT2, embeddings=False) == 85_056_000


def test_operations_per_token():
    assert flops_per_token(GPT2, 1024) == 6 * (84_934_656 + 38_597_376) + 12 * 12 * 768 * 1024
    assert flops_per_token(LLAMA_8B, 8192) == pytest.approx(5.79e10, rel=0.01)
