"""How many films a second each runtime segments, and how far its answer is from the exact one.

    python benchmarks/segmenter_runtime.py [SEGMENTER [PHANTOMS]]

SEGMENTER is a folder of train_segmenter (models/segmenter), PHANTOMS one of draw_phantoms
(data/phantoms). Measured are torch in float32 and bfloat16, and onnxruntime and OpenVINO where they
can be imported; the project itself needs neither. Every runtime is warmed up at each size, then
all take turns, so that a busy moment of the machine meets them alike. Writes
benchmarks/segmenter_runtime.json and prints a table.
"""

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from ribcage import lungs, nets, segmenting  # noqa: E402
from ribcage.errors import InputError  # noqa: E402
from ribcage.masked_films import names_on, read_pairs  # noqa: E402

SIZES_PX, FILMS, RUNS = (128, 192, 256), 32, 7
PACKAGES = ("torch", "segmentation-models-pytorch", "onnxruntime", "openvino")

Runtime = Callable[[np.ndarray], np.ndarray]
"""From normalised films to logits, both float32 [n, 1, s, s]."""


def torch_runtime(net: torch.nn.Module, *, bf16: bool) -> Runtime:
    """The network as find_lungs runs it, in bfloat16 or not."""

    def run(films: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy(films).contiguous(memory_format=torch.channels_last)
        cast = torch.autocast("cpu", dtype=torch.bfloat16) if bf16 else nullcontext()
        with torch.inference_mode(), cast:
            return np.asarray(net(batch).float().numpy())

    return run


def exported(net: torch.nn.Module, folder: Path, example: np.ndarray) -> Path:
    """Write the network as ONNX for films of one shape."""
    path = folder / "segmenter.onnx"
    torch.onnx.export(
        net,
        (torch.from_numpy(example),),
        str(path),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    return path


def onnx_runtime(path: Path, threads: int) -> Runtime:
    """The exported network in onnxruntime, float32."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda films: np.asarray(session.run(None, {name: films})[0])


def openvino_runtime(path: Path, threads: int) -> Runtime:
    """The exported network in OpenVINO, bfloat16 where the CPU has it."""
    import openvino

    compiled = openvino.Core().compile_model(
        str(path), "CPU", {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": threads}
    )
    return lambda films: np.asarray(compiled(films)[0], np.float32)


def runtimes_of(net: torch.nn.Module, example: np.ndarray, threads: int) -> dict[str, Runtime]:
    """All runtimes that can be imported here, the exact one first."""
    found = {
        "torch float32": torch_runtime(net, bf16=False),
        "torch bfloat16": torch_runtime(net, bf16=True),
    }
    others = {"onnxruntime float32": onnx_runtime, "OpenVINO bfloat16": openvino_runtime}
    with tempfile.TemporaryDirectory() as folder:
        for name, make in others.items():
            try:
                version(name.split()[0].lower())
            except PackageNotFoundError:
                print(f"{name}: not installed, not measured")
                continue
            found[name] = make(exported(net, Path(folder), example), threads)
    return found


def measured(runtimes: dict[str, Runtime], films: np.ndarray) -> list[dict[str, Any]]:
    """Time every runtime on the same films; compare its logits and masks with the first one's."""
    answers = {name: run(films) for name, run in runtimes.items()}  # the first call is slow
    seconds: dict[str, list[float]] = {name: [] for name in runtimes}
    for _ in range(RUNS):
        for name, run in runtimes.items():
            start = time.perf_counter()
            run(films)
            seconds[name].append(time.perf_counter() - start)
    exact = next(iter(answers.values()))
    rows = []
    for name, answer in answers.items():
        rates = [len(films) / second for second in seconds[name]]
        overlap = [lungs.dice(a > 0, b > 0) for a, b in zip(answer, exact, strict=True)]
        rows.append(
            {
                "runtime": name,
                "size_px": films.shape[-1],
                "films_per_s": round(statistics.median(rates), 1),
                "films_per_s_low": round(min(rates), 1),
                "films_per_s_high": round(max(rates), 1),
                "logit_difference_mean": float(f"{np.abs(answer - exact).mean():.2g}"),
                "logit_difference_max": float(f"{np.abs(answer - exact).max():.2g}"),
                "mask_dice_min": round(min(overlap), 5),
            }
        )
    return rows


def machine(threads: int) -> dict[str, Any]:
    """What the figures were measured with."""
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        models = [x for x in info.read_text(encoding="utf-8").splitlines() if "model name" in x]
        cpu = models[0].partition(":")[2].strip() if models else cpu
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "cpu": cpu,
        "threads": threads,
        "bfloat16": nets.machine(threads).bf16,
        "load_average_at_start": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "versions": versions,
    }


def main(segmenter: Path, share: Path) -> None:
    """Measure, print and write."""
    threads = len(os.sched_getaffinity(0))
    told = machine(threads)
    net, config = segmenting.load(segmenter)
    names = names_on(share, "test", FILMS, np.random.default_rng(0))
    rows = []
    for size_px in SIZES_PX:
        films = nets.normalise(torch.from_numpy(read_pairs(share, names, size_px).films)).numpy()
        net = net.to(memory_format=torch.channels_last)
        rows += measured(runtimes_of(net, films, threads), films)
    result = {
        "measured": time.strftime("%Y-%m-%d"),
        "machine": told,
        "segmenter": {key: config[key] for key in ("architecture", "encoder", "size_px")},
        "films_per_run": FILMS,
        "runs": RUNS,
        "rows": rows,
    }
    path = ROOT / "benchmarks" / "segmenter_runtime.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    load = told["load_average_at_start"]
    print(f"{told['cpu']}, {threads} threads, load {load}, {told['versions']}")
    print(f"median of {RUNS} runs of {FILMS} films (lowest to highest); against torch float32")
    for row in rows:
        print(line_of(row))


def line_of(row: dict[str, Any]) -> str:
    """A row of the printed table."""
    spread = f"({row['films_per_s_low']:.0f} to {row['films_per_s_high']:.0f})"
    off = f"{row['logit_difference_mean']:.1g}, at most {row['logit_difference_max']:.1g}"
    return (
        f"{row['size_px']:4} px  {row['runtime']:20} {row['films_per_s']:7.1f} films/s {spread:13} "
        f"logits off by {off}; masks Dice {row['mask_dice_min']:.4f} at least"
    )


if __name__ == "__main__":
    if len(sys.argv) > 3:
        sys.exit(__doc__)
    given = [Path(word) for word in sys.argv[1:]]
    defaults = [ROOT / "models" / "segmenter", ROOT / "data" / "phantoms"]
    try:
        main(*(given + defaults[len(given) :]))
    except InputError as error:
        sys.exit(f"Error: {error}")
