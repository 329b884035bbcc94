"""What a run is measured by."""

import math
import re
import time

import numpy as np
import numpy.typing as npt

_PEAKS = (
    (r"\bGB200\b", 2500.0), (r"\bB200\b", 2250.0),
    (r"\bH200 NVL\b", 835.5), (r"\b(G?H200)\b", 989.4),
    (r"\bH100 PCIe\b", 756.5), (r"\bH100 NVL\b", 835.5), (r"\bH100\b", 989.4), (r"\bH800\b", 989.4),
    (r"\bH20\b", 148.0),
    (r"\b(A100|A800)\b", 312.0), (r"\bA40\b", 149.7), (r"\bA10\b", 125.0), (r"\bA30\b", 165.0),
    (r"\bL40S\b", 362.0), (r"\bL4\b", 121.0),
)  # fmt: skip
"""Dense bfloat16 TFLOP/s by a pattern for the device's name, from NVIDIA's data sheets (half of a figure given "with
sparsity"); the first that matches counts."""


def peak_flops(device_name: str) -> float | None:
    """Dense bfloat16 operations per second of a GPU; None for one that is not in the table, never a guess."""
    if re.search(r"\bMIG\b", device_name):  # a slice of a GPU
        return None
    for pattern, teraflops in _PEAKS:
        if re.search(pattern, device_name):
            return teraflops * 1e12
    return None


def bits_per_byte(nats: npt.NDArray[np.floating], byte_lengths: npt.NDArray[np.integer]) -> float:
    """Loss per UTF-8 byte, comparable between tokenizers.

    Args:
        nats: loss of each target token, shape (N,), natural log, masked targets removed.
        byte_lengths: UTF-8 bytes of each target token, shape (N,), 0 for special tokens.

    Returns:
        Bits per byte, >= 0; a uniform guess over bytes scores 8.

    Raises:
        ValueError: no target has bytes, so the ratio is undefined (not infinite).

    Source: Gao et al. 2020, arXiv:2101.00027 (The Pile).
    """
    total_bytes = int(byte_lengths.sum())
    if total_bytes == 0:
        raise ValueError(f"bits_per_byte: all {len(nats)} targets have byte length 0")
    return float(nats[byte_lengths > 0].sum(dtype=np.float64)) / (math.log(2) * total_bytes)


class Stopwatch:
    """Seconds since the last `lap`, without those left out."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._left_out = 0.0

    def lap(self) -> float:
        """Seconds since the last call (or the start), pauses left out."""
        now = time.perf_counter()
        seconds, self._start, self._left_out = now - self._start - self._left_out, now, 0.0
        return max(seconds, 1e-9)

    def leave_out(self, seconds: float) -> None:
        """Do not count `seconds` of this lap: validation, samples and checkpoints are no training."""
        self._left_out += seconds
