import math

import numpy as np
import pytest

from training.metrics import bits_per_byte, peak_flops


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


def test_a_uniform_guess_over_bytes_scores_8():
    assert bits_per_byte(np.full(10, math.log(256)), np.ones(10, dtype=np.int64)) == pytest.approx(8)


def test_tokens_without_bytes_count_on_neither_side():
    assert bits_per_byte(np.array([math.log(2), 99.0]), np.array([4, 0])) == pytest.approx(0.25)


def test_no_bytes_is_an_error_not_infinity():
    with pytest.raises(ValueError, match="all 2 targets have byte length 0"):
        bits_per_byte(np.ones(2), np.zeros(2, dtype=np.int64))
