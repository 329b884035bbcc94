"""How a run is executed: never part of the fingerprint, because none of it may change a byte of the output."""

import dataclasses

from pipeline.storage.remote import RemoteSettings

MIN_MEMORY = 1 << 28
MIN_TASK_MEMORY = 1 << 12
"""Below this a few documents already make more tasks than a day has seconds; who writes 4 means gigabytes."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RaySettings:
    """The Ray cluster to run on."""

    address: str | None = None
    """Address of a running cluster ("auto", "ray://head:10001", "10.0.0.1:6379"); null starts Ray on this machine."""
    cpus_per_task: float = 1.0
    """CPUs Ray reserves for one task."""
    memory_per_task: int | None = None
    """Bytes of memory Ray reserves for one task; null reserves none."""
    retries: int = 3
    """How often a task is tried again after its worker or node died."""
    tasks_per_worker: int = 16
    """Tasks after which a worker process is replaced, before the leaks of parsers add up. Tasks of milliseconds are
    handed out in batches; a batch, of 5 seconds and 1,000 tasks at most, counts as one."""
    straggler_factor: float | None = 3.0
    """When no more tasks wait, one that takes this many times longer than the median is begun a second time, where a
    worker is idle; the first to finish counts, the other is cancelled. null: never. Changes no byte of the output."""
    straggler_seconds: float = 60.0
    """But no task is called slow before this many seconds."""

    def __post_init__(self) -> None:
        if self.cpus_per_task <= 0:
            raise ValueError(f"cpus_per_task: must be above 0, got {self.cpus_per_task}")
        if self.memory_per_task is not None and self.memory_per_task < MIN_TASK_MEMORY:
            raise ValueError(f"memory_per_task: must be at least {MIN_TASK_MEMORY} (bytes), "
                             f"got {self.memory_per_task}")  # fmt: skip
        if self.retries < 0:
            raise ValueError(f"retries: must be at least 0, got {self.retries}")
        if self.tasks_per_worker < 0:
            raise ValueError(f"tasks_per_worker: must be at least 0 (0 never replaces), got {self.tasks_per_worker}")
        if self.straggler_factor is not None and self.straggler_factor < 1:
            raise ValueError(f"straggler_factor: must be at least 1, got {self.straggler_factor}")
        if self.straggler_seconds < 0:
            raise ValueError(f"straggler_seconds: must be at least 0, got {self.straggler_seconds}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PageLimits:
    """What one page may use before it is quarantined."""

    cpu_seconds: float = 10.0
    """CPU seconds, at the speed of a 2020s server core; slower machines get proportionally more."""
    wall_seconds: float = 60.0
    """Seconds of wall clock, for pages that wait instead of compute."""
    memory: int = 4 << 30
    """Bytes a page (or reading) may allocate on top of what the worker held before the task."""
    read_seconds: float = 120.0
    """CPU seconds the reader may take to the next record or gap, slower machines proportionally more. Where it takes
    longer (or crashes, or exhausts memory), it goes on behind that place; the third time the rest of the file is left
    out. Either is a named gap."""
    read_wall_seconds: float = 1800.0
    """Seconds of wall clock for the same, for a disk or store that does not answer."""
    recycle_growth: int = 1 << 30
    """Bytes a page process may grow beyond its first pages before it is replaced: parsers leak."""
    recycle_pages: int | None = None
    """Pages after which a page process is replaced, grown or not; null: never."""

    def __post_init__(self) -> None:
        for name in ("cpu_seconds", "wall_seconds", "read_seconds", "read_wall_seconds", "recycle_growth"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: must be above 0, got {getattr(self, name)}")
        if self.memory < MIN_MEMORY:
            raise ValueError(f"memory: must be at least {MIN_MEMORY} (256 MiB; a body alone may have 64), "
                             f"got {self.memory}")  # fmt: skip
        if self.recycle_pages is not None and self.recycle_pages < 1:
            raise ValueError(f"recycle_pages: must be at least 1, got {self.recycle_pages}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RunSettings:
    """Where a run writes and how it is executed."""

    output: str | None = None
    """The run folder; `--output` overrides it."""
    workers: int | None = None
    """Tasks at a time; null takes every CPU of the cluster. The output does not depend on it."""
    local: bool = False
    """No Ray: tasks run one after another in this process (`--local`). Same bytes."""
    stages_path: str | None = None
    """A folder with stages of your own; Python looks there last. `--stages` overrides it."""
    isolate: bool = True
    """Pages run in a guarded child process, so that one that hangs or crashes loses only itself; false for pdb."""
    keep_steps: bool = True
    """Keep OUT/steps (the intermediate documents); false deletes their files when the run is done."""
    dropped_text: bool = False
    """Also store the text of dropped documents."""
    keep_index: bool = True
    """Keep OUT/steps/index, by which later builds find documents that this one has (`dedup.previous_runs`): about 310
    bytes a document at 14 bands of 8. It is kept when `keep_steps` is false, too."""
    max_quarantined: float | None = 0.05
    """The share of its pages on which a stage may raise, 0 to 1. A build stops where it is more, once 200 pages have
    entered the stage, and always where a step ends and a stage has failed on every one of its pages. null: never."""
    memory: int = 1 << 30
    """Bytes of memory for one task that sorts or joins (deduplication), about; what does not fit is done in more and
    smaller tasks, on disk. `ray.memory_per_task`, where given, takes its place. The output does not depend on it."""
    ray: RaySettings = RaySettings()
    remote: RemoteSettings = RemoteSettings()
    """How inputs on stores and servers are read: retries, rate limit, `options: {endpoint_url: ...}`."""
    page_limits: PageLimits = PageLimits()

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers: must be at least 1, got {self.workers}")
        if self.max_quarantined is not None and not 0 <= self.max_quarantined <= 1:
            raise ValueError(f"max_quarantined: must be a share of the pages, 0 to 1 (or null), "
                             f"got {self.max_quarantined}")  # fmt: skip
        if self.memory < MIN_TASK_MEMORY:
            raise ValueError(f"memory: must be at least {MIN_TASK_MEMORY} (bytes; 1 GiB is {1 << 30}), "
                             f"got {self.memory}")  # fmt: skip

    @property
    def task_memory(self) -> int:
        """Bytes for one task that sorts or joins."""
        return self.ray.memory_per_task or self.memory
