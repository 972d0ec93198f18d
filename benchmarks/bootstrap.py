"""Time and memory of the bootstrap over patients, beside a loop over scikit-learn.

    python benchmarks/bootstrap.py [RUNS]

Films are made up, as many as in NIH's official test list: 25,596 of 2,797 patients, 14 findings
with about the shares of positives that they have there, and scores of float32. Measured are AUROC
and average precision of all findings in 2,000 resamples, with their intervals; each run in a
process of its own, on one core. scikit-learn's roc_auc_score is timed on the first few of the same
resamples, AUROC alone, and its time for all of them is extrapolated; the values are compared on
these few. Other work on the machine lengthens the wall's seconds, hardly the CPU's: `load` is how
many processes wanted a core meanwhile, this one included.
Writes benchmarks/bootstrap.json and prints it.
"""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
for _name in THREADS:  # read once, when numpy is imported
    os.environ[_name] = "1"

import numpy as np  # noqa: E402
from sklearn.metrics import average_precision_score, roc_auc_score  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from ribcage.evaluation.bootstrap import Resamples, draw_areas, interval  # noqa: E402

RESULTS = ROOT / "benchmarks" / "bootstrap.json"
PACKAGES = ("numpy", "scipy", "scikit-learn")
FILMS, PATIENTS, RESAMPLES, BY_LIBRARY = 25_596, 2_797, 2_000, 8
SHARES = (
    0.128, 0.042, 0.182, 0.239, 0.068, 0.063, 0.022, 0.104, 0.071, 0.036, 0.043, 0.017, 0.045, 0.003
)  # fmt: skip


def made_up() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels bool [n, 14], scores float32 [n, 14], patients int [n]."""
    rng = np.random.default_rng(0)
    patients = np.concatenate([np.arange(PATIENTS), rng.integers(0, PATIENTS, FILMS - PATIENTS)])
    known = rng.random((FILMS, len(SHARES))) < SHARES
    logits = rng.normal(size=known.shape) + known - 2
    return known, (1 / (1 + np.exp(-logits))).astype(np.float32), patients


def clocks() -> np.ndarray:
    """Seconds of CPU of this process, and of the wall."""
    return np.array([time.process_time(), time.perf_counter()])


def by_library(
    score: Callable[..., float], known: np.ndarray, given: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """A metric of scikit-learn, finding by finding, of each resample: float [14, resamples]."""
    return np.array(
        [
            [score(labels, scores, sample_weight=times) for times in counts.T]
            for labels, scores in zip(known.T, given.T, strict=True)
        ]
    )


def one_run() -> dict[str, Any]:
    """Measure in this process, from the draws to the intervals."""
    known, given, patients = made_up()
    started = clocks()
    resamples = Resamples(patients, RESAMPLES, 1)
    drawn = [draw_areas(known[:, k], given[:, k], resamples) for k in range(len(SHARES))]
    for areas in drawn:
        interval(areas.auroc), interval(areas.ap)
    cpu, wall = clocks() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    counts = next(resamples.blocks())[resamples.codes, :BY_LIBRARY]
    started = clocks()
    areas_there = by_library(roc_auc_score, known, given, counts)
    library = clocks() - started
    precisions = by_library(average_precision_score, known, given, counts)
    ours = np.array([[part[:BY_LIBRARY] for part in areas_of] for areas_of in drawn])
    return {
        "cpu_s": cpu,
        "wall_s": wall,
        "peak_gb": peak,
        "library_ms_a_resample": library[0] / BY_LIBRARY * 1000,
        "auroc_difference": np.abs(ours[:, 0] - areas_there).max(),
        "ap_difference": np.abs(ours[:, 1] - precisions).max(),
    }


def spread(values: list[float], digits: int) -> dict[str, float]:
    """Median, least and most of the runs."""
    named = {"median": statistics.median(values), "least": min(values), "most": max(values)}
    return {name: round(value, digits) for name, value in named.items()}


def processor() -> str:
    """The processor's name, as far as the system says it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main(runs: int = 5) -> None:
    """Measure in fresh processes and write the result."""
    command = [sys.executable, __file__, "--one"]
    done = [json.loads(subprocess.check_output(command)) for _ in range(runs)]
    by_name = {name: [run[name] for run in done] for name in done[0]}
    ours = statistics.median(by_name["cpu_s"]) / RESAMPLES * 1000
    library = statistics.median(by_name["library_ms_a_resample"])
    found = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"system": platform.platform(terse=True), "cpu": processor(), "cores_used": 1},
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
        "runs": runs,
        "load": round(os.getloadavg()[0], 1),
        "films": FILMS,
        "findings": len(SHARES),
        "patients": PATIENTS,
        "resamples": RESAMPLES,
        "auroc_and_ap": {
            "cpu_s": spread(by_name["cpu_s"], 2),
            "wall_s": spread(by_name["wall_s"], 2),
            "peak_gb": round(max(by_name["peak_gb"]), 2),
            "ms_a_resample": round(ours, 2),
        },
        "scikit_learn_auroc_alone": {
            "resamples_timed": BY_LIBRARY,
            "cpu_ms_a_resample": spread(by_name["library_ms_a_resample"], 1),
            "cpu_s_extrapolated": round(library * RESAMPLES / 1000),
        },
        "times_faster": round(library / ours),
        "greatest_difference": {
            "auroc": max(by_name["auroc_difference"]),
            "ap": max(by_name["ap_difference"]),
        },
    }
    text = json.dumps(found, indent=1)
    RESULTS.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    if sys.argv[1:] == ["--one"]:
        print(json.dumps(one_run()))
    elif len(sys.argv) in (1, 2):
        main(*map(int, sys.argv[1:]))
    else:
        sys.exit(__doc__)
