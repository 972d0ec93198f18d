"""What the section on speed and resources says: what each step took on the machine that ran it.

The figures are those of Snakemake's benchmark files, read as they lie when the page is written. They
are no input of the step, as the commit is none: a time is told, not tracked, or every run would make
every page stale. So the files may be absent: neither engine shares them, and a job whose outputs were
taken from a cache has measured nothing.
"""

import csv
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from ribcage.report.bars import lying
from ribcage.report.figures import Figure
from ribcage.report.outcome import Experiment
from ribcage.report.provenance import ABSENT, records
from ribcage.report.sections import Table
from ribcage.words import percent, plural

NOT_RUN = ("taken from DVC's cache", "kept: another run made it")
"""What the log of a job says whose benchmark is not that of its step."""
SHOWN_FROM_S = 1.0
"""Snakemake looks at memory once a second at first, so that a shorter job shows none that counts."""
NVIDIA_SMI_LIMIT_S = 10.0


@dataclass(frozen=True)
class Cost:
    """What a job took.

    Attributes:
        seconds: wall time.
        memory_mib: the most resident memory that was seen, in MiB; NaN where none was.
        cpu_seconds: time on all cores together; NaN where none was seen.
    """

    seconds: float
    memory_mib: float
    cpu_seconds: float


@dataclass(frozen=True)
class Step:
    """The jobs of a step: how many there are, and what those took that were measured, by name."""

    name: str
    jobs: int
    costs: dict[str, Cost]

    @property
    def seconds(self) -> float:
        """Wall time of all measured jobs together."""
        return sum(cost.seconds for cost in self.costs.values())

    @property
    def load(self) -> float:
        """Cores that the jobs kept busy on average; NaN where that was not measured."""
        return sum(cost.cpu_seconds for cost in self.costs.values()) / (self.seconds or np.nan)

    @property
    def memory_mib(self) -> float:
        """The most of any job that ran long enough to be looked at; NaN without such a job."""
        return max(self.memories.values(), default=np.nan)

    @property
    def memories(self) -> dict[str, float]:
        """The most of each job that ran long enough to be looked at, in MiB."""
        return {
            job: cost.memory_mib
            for job, cost in self.costs.items()
            if cost.seconds >= SHOWN_FROM_S and np.isfinite(cost.memory_mib)
        }


def measured(job: str, root: Path = Path()) -> Cost | None:
    """Read what a job took; None if it was not run here.

    Args:
        job: its name, as `find_lungs/images_001`.
        root: the repository.
    """
    table, log = root / "benchmarks" / f"{job}.tsv", root / "logs" / f"{job}.log"
    if not table.is_file():
        return None
    if log.is_file():
        said = log.read_text(encoding="utf-8", errors="replace")
        if any(words in said for words in NOT_RUN):
            return None
    with table.open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file, delimiter="\t"), {})
    seconds, memory, cpu = (_number(row.get(key)) for key in ("s", "max_rss", "cpu_time"))
    return Cost(seconds, memory, cpu) if np.isfinite(seconds) else None


def _number(cell: str | None) -> float:
    """A figure of a benchmark file; NaN for the NA or - that Snakemake writes where it saw none."""
    try:
        return float(cell or "nan")
    except ValueError:
        return float("nan")


def steps(root: Path = Path()) -> list[Step]:
    """The steps before this page with what their jobs took, the longest first."""
    found: dict[str, dict[str, Cost | None]] = {}
    for job in records(root):
        found.setdefault(job.split("/")[0], {})[job] = measured(job, root)
    listed = [
        Step(name, len(jobs), {job: cost for job, cost in jobs.items() if cost})
        for name, jobs in found.items()
    ]
    return sorted(listed, key=lambda step: (-step.seconds, step.name))


def section(experiments: list[Experiment], root: Path = Path()) -> dict[str, Any]:
    """Time, memory, load of the cores and use of GPUs by step, and the machine.

    Args:
        experiments: whose networks say what they were trained on.
        root: the repository.
    """
    found = steps(root)
    ran = [step for step in found if step.costs]
    gpus = asked_gpus(root / "rules")
    return {
        "sentence": _sentence(found),
        "gpus": _gpus_sentence(gpus, experiments),
        "figures": [_figure(ran)] if any(step.seconds for step in ran) else [],
        "table": _table(found, gpus) if ran else Table([], []),
        "machine": Table(["part", "of this machine"], machine(), (0, 1)),
    }


def duration(seconds: float) -> str:
    """A time as it is read: `0.6 s`, `59 s`, `3 min 57 s`, `2 h 3 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60} min"


def _sentence(found: list[Step]) -> str:
    jobs, ran = sum(step.jobs for step in found), sum(len(step.costs) for step in found)
    if not jobs:
        return "No record of a job lies beside this page, so that nothing is known of what the steps took."
    if not ran:
        return f"None of the {plural(jobs, 'job')} before this page has left a measurement here: times are not shared with outputs, and a job that is taken from a cache measures none."
    first, total = found[0], sum(step.seconds for step in found)
    if ran == jobs:
        which = f"{'The one job' if jobs == 1 else f'All {jobs:,} jobs'} before this page {'was' if jobs == 1 else 'were'} measured here. "
    else:
        which = f"{ran:,} of {plural(jobs, 'job')} before this page {'was' if ran == 1 else 'were'} measured here; of the others the outputs came from elsewhere or from a cache, or nothing was written down. "
    if not total:
        return f"{which}Each was over before a time could be told."
    known = {job: memory for step in found for job, memory in step.memories.items()}
    largest = max(known, key=lambda job: known[job], default=None)
    took = (
        f"It took {duration(total)}."
        if ran == 1
        else f"Their times add up to {duration(total)}; those of jobs that ran beside each other overlap. "
        f"{first.name} took longest, {duration(first.seconds)} ({percent(first.seconds, total)})."
    )
    return (
        f"{which}{took}"
        + (f" The largest job, {largest}, needed {known[largest]:,.0f} MiB of memory." if largest else "")
    )  # fmt: skip


def _gpus_sentence(asked: dict[str, int], experiments: list[Experiment]) -> str:
    """Which steps ask for a GPU, and what the networks were trained on."""
    configs = [model["config"] for e in experiments for model in e["models"]]
    on = sorted({f"{config['device']} ({config['precision']})" for config in configs})
    bare = all(config["device"] == "cpu" for config in configs)
    asks = (
        f"A GPU is asked for by {', '.join(sorted(asked))}; without one they run on the processor. "
        if asked
        else ""
    )
    return (
        f"{asks}The networks of this page were trained on {' and '.join(on)}"
        + (", without a GPU. " if bare else ". ")
        + "How busy a GPU was is not measured."
    )


def asked_gpus(rules: Path) -> dict[str, int]:
    """GPUs that a job of each rule asks for, as the rules say; rules that ask for none are not there."""
    found = {}
    for path in sorted(rules.glob("*.smk")):
        text = path.read_text(encoding="utf-8")
        for name, body in re.findall(r"^rule (\w+):\n((?:[ ].*\n|\n)+)", text, re.M):
            count = re.search(r"^        gpu=(\d+)", body, re.M)
            if count and int(count[1]):
                found[name] = int(count[1])
    return found


def _table(found: list[Step], gpus: dict[str, int]) -> Table:
    total = sum(step.seconds for step in found)
    header = ["step", "jobs measured", "time of all", "longest job", "share", "peak memory (MiB)", "cores busy", "GPUs a job"]  # fmt: skip
    rows = [[step.name, *_cells(step, total), gpus.get(step.name, 0)] for step in found]
    whole = Step(
        "All", sum(s.jobs for s in found), {j: c for s in found for j, c in s.costs.items()}
    )
    return Table(header, [*rows, ["All", *_cells(whole, total), ABSENT]], sums=("All",))


def _cells(step: Step, total: float) -> list[str]:
    count = str(step.jobs) if len(step.costs) == step.jobs else f"{len(step.costs)} of {step.jobs}"
    if not step.costs:
        return [count, *[ABSENT] * 5]
    return [
        count,
        duration(step.seconds),
        duration(max(cost.seconds for cost in step.costs.values())),
        percent(step.seconds, total),
        f"{step.memory_mib:,.0f}" if np.isfinite(step.memory_mib) else ABSENT,
        f"{step.load:.2f}" if np.isfinite(step.load) else ABSENT,
    ]


def _figure(ran: list[Step]) -> Figure:
    total = sum(step.seconds for step in ran)
    drawn = lying(
        [step.name for step in ran],
        [step.seconds for step in ran],
        [duration(step.seconds) for step in ran],
        "seconds of all jobs of the step",
        "Time that each step took",
    )
    half, summed = 0, 0.0
    while summed < total / 2:
        summed += ran[half].seconds
        half += 1
    steps_named = " and ".join(step.name for step in ran[:half])
    caption = f"Time of all measured jobs of each step, added up. {steps_named} {'takes' if half == 1 else 'together take'} {percent(summed, total)} of the whole."
    return Figure("time-by-step", drawn, caption)


def machine(cpuinfo: Path = Path("/proc/cpuinfo")) -> list[list[str]]:
    """The machine on which the page is written: other steps may have run on others.

    Args:
        cpuinfo: where Linux tells the processor's name.
    """
    named = re.search(r"^model name\s*:\s*(.+)$", _read(cpuinfo), re.M)
    cores = psutil.cpu_count() or 0
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    memory = psutil.virtual_memory().total / 2**30
    return [
        ["processor", named[1].strip() if named else platform.processor() or "unknown"],
        ["cores", f"{cores}" + (f", of which {usable} may be used" if usable < cores else "")],
        ["memory", f"{memory:.0f} GiB"],
        ["GPUs", _gpus_here()],
        ["system", f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"],
    ]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _gpus_here() -> str:
    """Names of the machine's GPUs, as nvidia-smi has them."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return "none seen"
    command = [program, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=NVIDIA_SMI_LIMIT_S, check=False
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return "unknown: nvidia-smi gives no answer"
    names = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    return "; ".join(names) if done.returncode == 0 and names else "none seen"
