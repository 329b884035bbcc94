"""Runs tasks, on Ray or in this process; the only file that imports Ray.

A task is a module-level function and one small picklable argument that names its inputs and outputs by path:
documents never pass through Ray. A task commits its own work, so that a result is only ever a notice of it.
"""

import contextlib
import functools
import math
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pipeline.contract.child import module_path
from pipeline.contract.errors import TokenmillError, UserError
from pipeline.engine import stopping
from pipeline.engine.dispatch import BATCH_SECONDS, Batch, RunningBatches, TaskQueue
from pipeline.engine.settings import RunSettings

T = TypeVar("T")
R = TypeVar("R")

# Twice as many tasks submitted as can run keeps every worker fed without flooding the scheduler with 10^5 tasks.
SUBMIT_AHEAD = 2
LOOK_SECONDS = 1.0
"""Between two looks at the cluster and at stragglers, when no task ends."""
COUNT_SECONDS = 5.0
"""Between two counts of the cluster's CPUs."""
GONE_SECONDS = 20.0
"""A head or node that does not answer for so long is given up."""
STUCK_SECONDS = 40.0
"""The same, when a call to Ray does not return: before Ray, after 60, ends the process with a message of its own."""
LOSERS_SECONDS = 10.0
_OUR_FOLDER = Path(__file__).resolve().parents[2]
"""Ray puts the folder it is started in first on the path of its workers, where a `pipeline` of the user's own
would be imported instead of ours."""


class ClusterGoneError(TokenmillError):
    """The Ray cluster has ended under a run; exit 1."""


class Runner(Protocol):
    """Something that runs tasks."""

    workers: int
    """Tasks at a time."""

    def map(self, function: Callable[[T], R], tasks: Sequence[T]) -> Generator[R, None, None]:
        """The result of `function(task)` for every task, in the order they finish; closed early, it ends the others.

        Raises:
            whatever a task raised (its own exception, not a wrapper); the other tasks in flight are cancelled.
        """


class LocalRunner:
    """One task after another, in this process."""

    workers = 1

    def map(self, function: Callable[[T], R], tasks: Sequence[T]) -> Generator[R, None, None]:
        """See Runner."""
        for task in tasks:
            stopping.raise_if_stopped()
            yield function(task)


class RayRunner:
    """Tasks on a Ray cluster: a started one, or one on this machine that ends with this process."""

    def __init__(self, settings: RunSettings, ray: Any = None) -> None:
        """Start Ray or join it, unless a `ray` is given that is joined already."""
        self._settings = settings
        self.ray = ray or _start_ray(settings)
        self.watch = _Watch(self.ray, settings.ray.address)
        self.workers, self._counted = 1, -math.inf
        self._count_workers()

    def map(self, function: Callable[[T], R], tasks: Sequence[T]) -> Generator[R, None, None]:
        """See Runner."""
        options = self._settings.ray
        ahead = SUBMIT_AHEAD if options.address else 1
        remote = self.ray.remote(
            num_cpus=options.cpus_per_task,
            memory=options.memory_per_task,
            max_retries=options.retries,
            max_calls=options.tasks_per_worker,
            scheduling_strategy="SPREAD",
        )(_in_batches(function, str(Path.cwd())))
        queue, running = TaskQueue(tasks), RunningBatches[T]()
        losers: list[Any] = []
        sound: str | None = None  # a node that has lately finished something
        try:
            while queue or running.batches:
                self._count_workers()
                while queue and len(running.batches) < self.workers * ahead:
                    batch = Batch(queue.take(self.workers))
                    running.add(remote.remote(batch.tasks, BATCH_SECONDS), batch, time.monotonic())
                slow_after = queue.slow_after(options.straggler_factor, options.straggler_seconds)
                for batch in running.stragglers(slow_after, time.monotonic()):
                    second = remote.options(scheduling_strategy=self._on_node(sound))
                    running.add(second.remote(batch.tasks, BATCH_SECONDS), batch, time.monotonic())
                for reference in self._finished(running):
                    batch = running.end(reference)
                    result = self._result(reference, batch)
                    if result is None:
                        continue
                    self._cancel(batch.attempts)
                    losers += [attempt for attempt in batch.attempts.copy() if running.end(attempt)]
                    results, seconds, sound = result
                    queue.record_pace(len(results), seconds)
                    queue.requeue(batch.tasks[len(results) :])
                    yield from results
        except ClusterGoneError:
            raise
        except BaseException:
            self._cancel(running.batches)
            raise
        self._await_end(losers)

    def _on_node(self, node: str | None) -> Any:
        """There, or elsewhere if it is gone or busy: where a straggler hangs, the next might hang too."""
        affinity = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        return affinity(node, soft=True, _spill_on_unavailable=True) if node else "SPREAD"

    def _finished(self, running: RunningBatches[T]) -> Iterator[Any]:
        """The attempts that are over, after a second at most; all of them, for looking costs time by their number."""
        references = list(running.batches)
        done, _ = self.ray.wait(references, num_returns=1, timeout=LOOK_SECONDS)
        if not done:
            self.watch.check()
            return
        done, _ = self.ray.wait(references, num_returns=len(references), timeout=0)
        for reference in done:
            if reference in running.batches:  # else another attempt at the same was first
                yield reference

    def _result(self, reference: Any, batch: Batch[T]) -> Any:
        """(results, seconds, node) of an attempt; None where it was lost and another goes on."""
        try:
            return self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self.ray.exceptions.RayError as error:
            if batch.attempts:
                batch.repeated = False
                return None
            self.watch.check(patient=False)
            retries = self._settings.ray.retries
            raise TokenmillError(f"a task was lost {retries + 1} times on Ray: {error}") from error

    def _cancel(self, references: Iterable[Any]) -> None:
        for reference in references:
            self.ray.cancel(reference, force=True)

    def _await_end(self, losers: list[Any]) -> None:
        """Wait until cancelled attempts have ended: later steps may remove what they write."""
        if losers:
            self.ray.wait(losers, num_returns=len(losers), timeout=LOSERS_SECONDS)

    def _count_workers(self) -> None:
        """Nodes come and go; how many tasks their CPUs run at a time."""
        if time.monotonic() - self._counted < COUNT_SECONDS or not self.watch.answers():
            return
        self._counted = time.monotonic()
        settings = self._settings
        cluster = max(1, int(self.ray.cluster_resources().get("CPU", 1) / settings.ray.cpus_per_task))
        self.workers = (
            min(settings.workers or cluster, cluster) if settings.ray.address else settings.workers or cluster
        )

    def close(self) -> None:
        """Leave the cluster (stop it, if this process started it)."""
        self.ray.shutdown()
        self.watch.over.set()


class _Watch:
    """Notices that the cluster is gone: Ray itself waits for a minute, and then ends the process."""

    def __init__(self, ray: Any, address: str | None) -> None:
        self._name = f"the Ray cluster at {address}" if address else "the Ray of this run"
        self._places: list[tuple[socket.AddressFamily, Any]] = []
        self._silent_since: float | None = None
        self.over = threading.Event()
        """Nobody needs the cluster any more."""
        if address and "://" in address:  # a client knows neither place
            return
        host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        node = ray._private.worker.global_worker.node
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._places = [(family, (host.strip("[]"), int(port))), (socket.AF_UNIX, node.raylet_socket_name)]

    def start(self) -> None:
        """Watch beside the main thread, until `over`."""
        if self._places:
            threading.Thread(target=self._end_if_stuck, daemon=True).start()

    def answers(self) -> bool:
        """Whether the head, and Ray's server on this node, take connections."""
        return all(_connects(family, place) for family, place in self._places)

    def check(self, *, patient: bool = True) -> None:
        """Raise ClusterGoneError when there has been no answer for a while; at once, if not patient."""
        if self.answers():
            self._silent_since = None
            return
        self._silent_since = self._silent_since or time.monotonic()
        if not patient or time.monotonic() - self._silent_since > GONE_SECONDS:
            raise ClusterGoneError(self._message)

    @property
    def _message(self) -> str:
        return f"{self._name} is gone; what is committed stays, the same command goes on from here"

    def _end_if_stuck(self) -> None:
        """End this process when the main thread waits in Ray for a cluster that is gone: nothing can interrupt that."""
        answered = time.monotonic()
        while not self.over.wait(2 * LOOK_SECONDS):
            if self.answers():
                answered = time.monotonic()
            elif time.monotonic() - answered > STUCK_SECONDS:
                print(f"{ClusterGoneError.__name__}: {self._message}", file=sys.stderr, flush=True)
                os._exit(1)


def _connects(family: socket.AddressFamily, place: Any) -> bool:
    with socket.socket(family) as tried:
        tried.settimeout(1)
        try:
            tried.connect(place)
        except OSError:
            return False
        return True


def _in_batches(function: Callable[[T], R], folder: str) -> Callable[[Sequence[T], float], tuple[list[R], float, str]]:
    """`function` over tasks until so many seconds are over: results of the first ones, seconds it took, the node.

    Tasks run in `folder`, where there is one of that name: relative paths mean what they mean to the driver.
    """

    # Ray shows the name; `wraps` alone would pass the signature of `function` off as this one's.
    @functools.wraps(function, updated=())
    def batch(tasks: Sequence[T], seconds: float) -> tuple[list[R], float, str]:
        import ray

        with contextlib.suppress(OSError):  # a node that has no such folder
            os.chdir(folder)
        start, results = time.monotonic(), list[R]()
        for task in tasks:
            if results and time.monotonic() - start > seconds:
                break
            results.append(function(task))
        return results, time.monotonic() - start, ray.get_runtime_context().get_node_id()

    del batch.__wrapped__  # type: ignore[attr-defined]
    return batch


@contextlib.contextmanager
def open_runner(settings: RunSettings) -> Iterator[Runner]:
    """A runner as the settings ask for, closed at the end.

    Raises:
        UserError: the Ray cluster named in the settings cannot be reached.
    """
    if settings.local:
        yield LocalRunner()
        return
    runner = RayRunner(settings)
    runner.watch.start()
    try:
        yield runner
    finally:
        runner.close()


def _start_ray(settings: RunSettings) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports home unless told not to
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    address = settings.ray.address
    if address is None and "RAY_AUTH_MODE" not in os.environ:
        # Ray listens on all addresses of the machine; who has not this run's token is not let in.
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    try:
        import ray
    except ImportError as error:
        hint = "install tokenmill[pipeline], or run with --local"
        raise UserError("run.ray", "Ray is not installed", hint=hint) from error
    import ray.util.scheduling_strategies

    common: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "configure_logging": True}
    if address is None:
        # Workers inherit the environment: stages of the user's own are found where this process finds them.
        os.environ["PYTHONPATH"] = module_path(sys.path)
        # Documents go by path, so the object store needs to hold only task arguments and results.
        with contextlib.chdir(_OUR_FOLDER):
            ray.init(num_cpus=settings.workers or os.cpu_count(), include_dashboard=False,
                     object_store_memory=128 << 20, **common)  # fmt: skip
        return ray
    if settings.stages_path:
        common["runtime_env"] = {"env_vars": {"PYTHONPATH": module_path(sys.path)}}
    try:
        with contextlib.chdir(_OUR_FOLDER):
            ray.init(address=address, **common)
    except (ConnectionError, RuntimeError, ValueError) as error:
        hint = "start the cluster (`ray start --head`), or leave ray.address out to run on this machine"
        raise UserError(f"run.ray.address '{address}'", f"no Ray cluster answers: {error}", hint=hint) from error
    return ray
