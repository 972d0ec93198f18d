"""Which GPUs a step may use: Snakemake counts them, but does not say which is whose.

One kernel file lock a GPU, taken in one queue: two steps never share a GPU, and a step that waits
for two is not overtaken by steps that want one. The kernel frees a lock when its holder dies,
however it dies. A forked worker that outlives its parent keeps the lock, as it may keep the GPU.
"""

import fcntl
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ribcage.errors import InputError
from ribcage.progress import say

VISIBLE = "CUDA_VISIBLE_DEVICES"
POLL_S = 0.2
PATIENCE_S = 30
"""nvidia-smi answers in a second; on a broken driver it may hang for ever."""


@contextmanager
def take(count: int) -> Iterator[list[str]]:
    """Hold GPUs while a step runs, and show CUDA no others; before CUDA starts in this process.

    Args:
        count: how many the step wants; 0 hides all of them from it.

    Yields:
        Their ids; none where there is no GPU, and the step runs on the CPU.

    Raises:
        InputError: more are wanted than there are, or the driver does not answer.
    """
    offered = pool() if count else []
    if 0 < len(offered) < count:
        raise InputError(
            f"this step wants {count} GPUs, and there are {len(offered)} "
            f"({', '.join(offered)}); lower the gpu resource of its rule, or widen {VISIBLE}"
        )
    with ExitStack() as held:
        ids = _lock(offered, count, held) if offered else []
        before = os.environ.get(VISIBLE)
        os.environ[VISIBLE] = ",".join(ids)
        try:
            yield ids
        finally:
            if before is None:
                del os.environ[VISIBLE]
            else:
                os.environ[VISIBLE] = before


def pool() -> list[str]:
    """The GPUs to choose from: those of CUDA_VISIBLE_DEVICES (Slurm, the user), else all.

    Raises:
        InputError: nvidia-smi fails or does not answer.
    """
    outer = os.environ.get(VISIBLE)
    if outer is not None:
        ids: list[str] = []
        for gpu in (part.strip() for part in outer.split(",")):
            if gpu in ("", "-1"):  # CUDA, too, reads no further
                break
            ids.append(gpu)
        return ids
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=PATIENCE_S
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise InputError(
            f"nvidia-smi cannot say which GPUs there are ({error}); mend the driver, or name the "
            f"GPUs in {VISIBLE} (empty: run on the CPU)"
        ) from error
    return done.stdout.split()


def _lock(offered: list[str], count: int, held: ExitStack) -> list[str]:
    """Wait in the queue, then for the GPUs; whoever waits holds up those behind."""
    folder = _folder()
    files = {gpu: _open(folder / f"gpu-{re.sub(r'[^A-Za-z0-9]', '_', gpu)}") for gpu in offered}
    queue = _open(folder / "queue")
    for descriptor in files.values():
        held.callback(os.close, descriptor)
    said = False
    ids: list[str] = []
    try:
        in_turn = False
        while len(ids) < count:
            in_turn = in_turn or _try(queue)
            free = (gpu for gpu, descriptor in files.items() if gpu not in ids)
            while in_turn and len(ids) < count and (gpu := next(free, None)) is not None:
                if _try(files[gpu]):
                    ids.append(gpu)
            if len(ids) < count:
                if not said:
                    say(f"waiting for {count} of the GPUs {', '.join(offered)}")
                    said = True
                time.sleep(POLL_S)
    finally:
        os.close(queue)
    return [gpu for gpu in offered if gpu in ids]


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _folder() -> Path:
    """Where the locks lie: on this machine, never on a shared file system.

    Slurm may call the GPU of each of its jobs 0, so each of them has locks of its own.
    """
    scope = os.environ.get("SLURM_JOB_ID") or socket.gethostname()
    top = Path(os.environ.get("RIBCAGE_GPU_LOCKS") or Path(tempfile.gettempdir(), "ribcage-gpus"))
    folder = top / re.sub(r"[^A-Za-z0-9.-]", "_", scope)
    for path in (top, folder):
        try:
            path.mkdir(parents=path == top)
            path.chmod(0o1777)  # other users of this machine wait for the same GPUs
        except FileExistsError:
            if path.is_symlink() or not path.is_dir():
                raise InputError(
                    f"{path}: is no folder; remove it, or set RIBCAGE_GPU_LOCKS"
                ) from None
    return folder


def _open(path: Path) -> int:
    """Open a lock's file; a lock needs no right to write, and the file may be another user's."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        os.fchmod(descriptor, 0o644)
        return descriptor
