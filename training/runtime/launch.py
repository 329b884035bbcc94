"""Start several processes of a training command on this machine, as `tokenmill train CONFIG --nproc N` does.

For several machines use torchrun (`torchrun --nnodes ... -m training.pretrain CONFIG`), which sets the same
environment. Compared with torchrun this passes on the processes' own exit code and prints nothing of its own.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

import torch
import torch.distributed as dist

from pipeline.contract.child import environment
from pipeline.contract.errors import ConfigError
from training.runtime.stopping import LAUNCHER, SIGNALS, StopSignals, signal_handler

SETTLE_SECONDS = 5.0
"""How long the other processes have to end by themselves after one failed."""


def process_count(nproc: int | None, device: str = "auto") -> int:
    """How many processes to start.

    Raises:
        ConfigError: fewer than one, or more than there are GPUs (unless on CPUs).
    """
    gpus = torch.cuda.device_count() if device != "cpu" and torch.cuda.is_available() else 0
    if nproc is None:
        return max(1, gpus)
    if nproc < 1:
        raise ConfigError("--nproc", f"must be at least 1, got {nproc}")
    if gpus and nproc > gpus:
        raise ConfigError("--nproc", f"this machine has {gpus} GPUs, got {nproc}", hint="or set parallel.device=cpu")
    return nproc


def run_processes(command: Sequence[str], nproc: int) -> int:
    """Run `python COMMAND` as `nproc` processes that find each other; returns the first bad exit code, or 0.

    When one fails the others are stopped: they would wait for it for ever. SIGTERM, SIGINT and SIGHUP are passed on
    and waited for; a second one kills. The code is then 128 + signal, unless a process failed for another reason.
    """
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
    # As torchrun does: the processes meet at a store that lives here, on a port that is ours already.
    common = {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True",
        "WORLD_SIZE": str(nproc), "LOCAL_WORLD_SIZE": str(nproc), LAUNCHER: str(os.getpid()),
    }  # fmt: skip
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // nproc)))
    group = LaunchedProcesses()
    with signal_handler(group.pass_on), group:
        for rank in range(nproc):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": threads}
            # -P: a `training` of the user's own in the current folder would hide ours.
            group.start([sys.executable, "-P", *command], environment({**common, **own}))
        return group.wait()


class LaunchedProcesses:
    """Processes that live and die together."""

    def __init__(self) -> None:
        self._members: list[subprocess.Popen[bytes]] = []
        self._signals = StopSignals()

    def __enter__(self) -> "LaunchedProcesses":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, command: Sequence[str], environment: dict[str, str]) -> None:
        """Add a process; in a group of its own, so that a Ctrl-C reaches it once, through us."""
        self._members.append(subprocess.Popen(command, env=environment, start_new_session=True))
        if self._signals.received is not None:  # it came between two starts
            self._members[-1].terminate()

    def wait(self) -> int:
        """Until all have ended well, or one has not."""
        while True:
            codes = [member.poll() for member in self._members]
            failed = [code for code in codes if code]
            if failed:
                self._settle()
                return self._code(failed)
            if all(code == 0 for code in codes):
                return 0
            time.sleep(0.05)

    def _code(self, failed: Sequence[int]) -> int:
        """What stands for the codes that are not 0."""
        # A process killed by a signal has the code -n; shells know it as 128 + n.
        known = [code if code > 0 else 128 - code for code in failed]
        received = self._signals.received
        if received is not None and any(code - 128 in (*SIGNALS, signal.SIGKILL) for code in known):
            return 128 + received
        return known[0]

    def _settle(self) -> None:
        """Give the others a moment: what stopped one often stops them all, with a message worth reading."""
        until = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < until and any(member.poll() is None for member in self._members):
            time.sleep(0.05)

    def stop(self) -> None:
        """End whatever still runs."""
        for member in self._members:
            if member.poll() is None:
                member.kill()
        for member in self._members:
            member.wait()

    def pass_on(self, number: int, frame: FrameType | None) -> None:
        """The handler. SIGTERM, whatever came: a SIGINT would be a traceback where a process is still importing."""
        again = self._signals.received is not None and not self._signals.echo()
        if not again:
            self._signals.note(number, frame)
        for member in self._members:
            if member.poll() is None:
                member.kill() if again else member.terminate()
