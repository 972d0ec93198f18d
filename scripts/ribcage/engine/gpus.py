"""Hand out GPUs: which of a machine's GPUs a step may use, and no GPU to two steps at once.

`--resources gpu=2` only counts. Here each GPU id has a file, and who holds the kernel's lock on it
(flock) has the GPU; the kernel frees it when its holder dies, however it dies. All who wait stand
in one queue, so that a step for two GPUs is neither starved nor deadlocked.

The locks are per machine: those who share one must name its GPUs in the same way (0 and
GPU-8932f937 are two locks) and have the same folder of locks, in the temporary folder or where
RIBCAGE_GPU_LOCKS says, on a local disk.
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
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from ribcage.errors import InputError
from ribcage.progress import say

VISIBLE = "CUDA_VISIBLE_DEVICES"
SAY_WHICH = f"set {VISIBLE} to the GPUs to use, or to nothing for the CPU"
GPU_ID = re.compile(r"\d{1,4}|(GPU|MIG)-[\w/-]{1,100}", re.ASCII)
NVIDIA_SMI_LIMIT_S = 30.0
POLL_S = 0.2


@contextmanager
def take(count: int) -> Iterator[list[str]]:
    """Wait for GPUs, and make them the only ones that CUDA sees here and in child processes.

    To be called before CUDA starts, and not within itself: the inner call would wait for the
    outer one's GPUs.

    Args:
        count: how many; with 0 no GPU is seen, so that a step that asked for none takes none.

    Yields:
        The ids, as CUDA_VISIBLE_DEVICES has them; none on a machine without GPUs, where the step
        runs on the CPU.

    Raises:
        InputError: if there are GPUs, but fewer; if nvidia-smi or the locks cannot be used.
    """
    outer = os.environ.get(VISIBLE)
    pool = _pool(outer) if count else []
    if 0 < len(pool) < count:
        source = f"nvidia-smi lists {','.join(pool)}" if outer is None else f"{VISIBLE}={outer}"
        raise InputError(
            f"this step asks for {_gpus(count)} and the machine offers {len(pool)} ({source}); "
            f"ask for {len(pool)} at most in its rule, or offer more"
        )
    # Closed, never unlocked: a forked worker has the same lock and may outlive this process, and
    # then it may still use the GPU. A child that was exec'd has no part in the lock.
    with ExitStack() as files:
        ids = _wait(count, *_open_locks(pool, files)) if pool else []
        os.environ[VISIBLE] = ",".join(ids)
        try:
            yield ids
        finally:
            if outer is None:
                os.environ.pop(VISIBLE, None)
            else:
                os.environ[VISIBLE] = outer


def _gpus(count: int) -> str:
    return "1 GPU" if count == 1 else f"{count} GPUs"


def _pool(outer: str | None) -> list[str]:
    """The GPUs to choose from: those that Slurm or the user names, else all of the machine."""
    if outer is None:
        return _all_gpus()
    pool: dict[str, None] = {}
    for name in outer.split(","):
        # CUDA ignores what follows the first name that names no GPU, such as -1.
        if not GPU_ID.fullmatch(name.strip()):
            break
        pool[name.strip()] = None
    return list(pool)


def _all_gpus() -> list[str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command, pipe = [program, "--query-gpu=index", "--format=csv,noheader"], subprocess.PIPE
    try:
        smi = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, errors="replace")
    except OSError as error:
        raise InputError(f"{program} does not start ({error.strerror}); {SAY_WHICH}") from error
    try:
        out, err = smi.communicate(timeout=NVIDIA_SMI_LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"{program} gave no answer in {NVIDIA_SMI_LIMIT_S:g} s; {SAY_WHICH}"
        ) from error
    finally:
        # Not waited for: what hangs in a broken driver cannot even be killed.
        smi.kill()
    ids = out.split()
    if smi.returncode or not all(GPU_ID.fullmatch(name) for name in ids):
        said = " ".join(f"{out} {err}".split())[:200]
        raise InputError(f"{program} failed with code {smi.returncode} ({said}); {SAY_WHICH}")
    return ids


def _open_locks(pool: list[str], files: ExitStack) -> tuple[int, dict[str, int]]:
    """Open the queue's file and one a GPU; they are closed with `files`.

    Several users may share the machine. So whoever comes first makes folders and files that all
    can use, whatever the umask, and no link that another has laid there is followed.
    """
    chosen = os.environ.get("RIBCAGE_GPU_LOCKS")
    root = Path(chosen or tempfile.gettempdir())
    # With device cgroups the GPU of each Slurm job is called 0, so each has its own locks.
    machine = quote(os.environ.get("SLURM_JOB_ID") or socket.gethostname(), safe="")
    umask = os.umask(0)
    try:
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        files.callback(os.close, folder)
        for name in [machine] if chosen else ["ribcage-gpus", machine]:
            with suppress(FileExistsError):
                os.mkdir(name, 0o1777, dir_fd=folder)
            folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            files.callback(os.close, folder)
        # systemd-tmpfiles, which removes old files, leaves a locked folder alone.
        fcntl.flock(folder, fcntl.LOCK_SH)
        queue, *locks = (
            _open_file(folder, name, files) for name in ["queue", *(f"gpu-{gpu}" for gpu in pool)]
        )
    except OSError as error:
        raise InputError(
            f"{root}: the locks of the GPUs cannot be opened there ({error}); set "
            "RIBCAGE_GPU_LOCKS to a local folder in which all who share the GPUs may write"
        ) from error
    finally:
        os.umask(umask)
    return queue, dict(zip(pool, locks, strict=True))


def _open_file(folder: int, name: str, files: ExitStack) -> int:
    """Open for reading, which is enough for a lock and allowed on another user's file."""
    name = quote(name, safe="")
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    # Not O_CREAT alone: hardened kernels refuse it for another user's file in a shared folder.
    with suppress(FileExistsError):
        os.close(os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o444, dir_fd=folder))
    file = os.open(name, flags, dir_fd=folder)
    files.callback(os.close, file)
    return file


def _wait(count: int, queue: int, locks: dict[str, int]) -> list[str]:
    """Stand in the queue, then keep each GPU that is or gets free until there are enough."""
    said = not _lock_at_once(queue)
    if said:
        say(f"waiting for {_gpus(count)}")
        fcntl.flock(queue, fcntl.LOCK_EX)
    taken: set[str] = set()
    while True:
        for gpu, lock in locks.items():
            if len(taken) < count and gpu not in taken and _lock_at_once(lock):
                taken.add(gpu)
        if len(taken) == count:
            break
        if not said:
            say(f"waiting for {_gpus(count)}")
            said = True
        time.sleep(POLL_S)
    fcntl.flock(queue, fcntl.LOCK_UN)
    return [gpu for gpu in locks if gpu in taken]


def _lock_at_once(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
