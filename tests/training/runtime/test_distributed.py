"""What processes know of each other."""

import subprocess
import sys

import pytest
import torch

from pipeline.contract.errors import ConfigError
from training.config import ParallelConfig
from training.runtime import distributed

ORPHAN = """
import os, sys, time
from training.runtime import distributed
from training.config import ParallelConfig
distributed.initialize(ParallelConfig(device="cpu"))
print(os.getpid(), flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_processes_do_not_outlive_a_killed_launcher(tmp_path):
    (tmp_path / "script.py").write_text(ORPHAN)
    program = "import sys; from training.runtime.launch import run_processes; run_processes(sys.argv[1:], 1)"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "script.py")], stdout=subprocess.PIPE, text=True
    )
    assert int(process.stdout.readline()) != process.pid
    process.kill()
    process.wait()
    assert process.stdout.read() == ""  # the pipe closes when its last holder has ended
    process.stdout.close()


def test_without_a_gpu_auto_is_the_cpu_and_cuda_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert distributed.choose_device("auto").type == "cpu"
    with pytest.raises(ConfigError, match=r"parallel\.device: process 0 finds 0 GPUs .*\n  set parallel\.device=cpu"):
        distributed.choose_device("cuda")


def test_replicas_must_divide_the_processes():
    with pytest.raises(ConfigError, match=r"parallel\.replicas: must divide the 1 processes, got 2"):
        distributed.initialize(ParallelConfig(device="cpu", replicas=2))


def test_alone_a_sum_is_the_value_and_a_gathering_one_item():
    here = distributed.World(device=torch.device("cpu"))
    assert here.main
    assert distributed.all_reduce_sum(here, torch.tensor([1.0, 2.0])).tolist() == [1.0, 2.0]
    assert distributed.all_gather(here, "x") == ["x"]


def test_a_whole_tensor_is_copied_into_a_plain_parameter_with_its_type():
    parameter = torch.zeros(2, dtype=torch.bfloat16)
    distributed.copy_full_tensor(parameter, torch.tensor([1.0, 2.0]))
    assert parameter.tolist() == [1.0, 2.0]
    assert distributed.full_tensor(parameter) is parameter
