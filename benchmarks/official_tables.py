"""Time and memory of NIH's full tables, from the source to the page on the data, without a film.

    python benchmarks/official_tables.py FOLDER [RUNS]

FOLDER holds NIH's Data_Entry_2017_v2020.csv, BBox_List_2017.csv, train_val_list.txt, test_list.txt
and blacklists/. Each run is a fresh copy of the committed files, with presets/nih_tables.yaml and
that folder as a local source, built by `snakemake --cores 2` without any film. Writes
benchmarks/official_tables.json and prints it: seconds of the whole command and of each job, and the
most memory that all of its processes held together. The time to commit to DVC is in it.
"""

import csv
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("snakemake", "dvc", "pandas", "scikit-learn")


def shell(command: list[str], folder: Path) -> None:
    """Run a command, quietly; show what it said if it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}:\n{(done.stdout + done.stderr)[-4000:]}")


def one_run(tables: Path) -> dict[str, Any]:
    """Build the page in a fresh clone; return seconds in all and by job."""
    with tempfile.TemporaryDirectory() as name:
        clone = Path(name) / "clone"
        shell(["git", "clone", "--quiet", str(ROOT), str(clone)], ROOT)
        settings = [
            "source.kind=local", f"source.origin={tables}", f"source.images={tables}",
            'source.suffix=""',
        ]  # fmt: skip
        preset = ["scripts/use_preset.py", "presets/nih_tables.yaml", *settings]
        shell([sys.executable, *preset], clone)
        start = time.monotonic()
        with watched() as peak:
            shell([shutil.which("snakemake") or "snakemake", "--cores", "2"], clone)
        seconds = time.monotonic() - start
        jobs = {path.stem: _seconds(path) for path in sorted((clone / "benchmarks").glob("*.tsv"))}
        facts = json.loads((clone / "reports/data/facts.json").read_text(encoding="utf-8"))
    agreeing = sum(row["here"] == row["published"] for row in facts["published"])
    return {
        "seconds": round(seconds, 1),
        "jobs": jobs,
        "peak_gb": round(max(peak) / 1e9, 2),
        "films": facts["indexed"]["films"],
        "published": f"{agreeing} of {len(facts['published'])}",
    }


@contextmanager
def watched() -> Iterator[list[int]]:
    """Take the memory of all child processes together, ten times a second, in bytes."""
    seen, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            total = 0
            for child in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):  # it has ended since
                    total += child.memory_info().rss
            seen.append(total)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _seconds(path: Path) -> float:
    with path.open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file, delimiter="\t")
    return round(float(row["s"]), 1)


def main(tables: Path, runs: int = 3) -> None:
    """Measure and write the result."""
    done = [one_run(tables.resolve()) for _ in range(runs)]
    peak = max(run["peak_gb"] for run in done)
    seconds = [run["seconds"] for run in done]
    found = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"system": platform.platform(terse=True), "cores": os.cpu_count()},
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
        "runs": runs,
        "films": done[0]["films"],
        "published_figures_met": done[0]["published"],
        "seconds": {
            "median": statistics.median(seconds),
            "least": min(seconds),
            "most": max(seconds),
        },
        "jobs_s": {
            job: round(statistics.median(run["jobs"][job] for run in done), 1)
            for job in done[0]["jobs"]
        },
        "peak_gb_of_all_processes": peak,
    }
    text = json.dumps(found, indent=1)
    (ROOT / "benchmarks" / "official_tables.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
