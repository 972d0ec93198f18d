"""A process that has imported the libraries once, and forks a child for each command of the tests.

Hundreds of short processes (snakemake, dvc, scripts of rules) would each import torch and its like
for seconds. `sitecustomize.py` beside this file hands such a process over to this one. Nothing of
the project is imported here: each clone imports its own, edited or not.
"""

import array
import atexit
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import struct
import sys
import threading
import traceback
import types
from collections.abc import Callable

LIBRARIES = (
    "cv2",
    "dulwich.porcelain",
    "dvc.cachemgr",
    "dvc.cli.parser",
    "dvc.data_cloud",
    "dvc.dependency.param",
    "dvc.repo.graph",
    "dvc.repo.index",
    "dvc.repo.open_repo",
    "dvc.rwlock",
    "dvc.scm",
    "dvc_data.hashfile.status",
    "dvc_data.index.checkout",
    "dvc_data.index.fetch",
    "dvc_render.vega",
    "flufl.lock",
    "jinja2",
    "jsonschema",
    "networkx",
    "pandas",
    "PIL.Image",
    "pyarrow.parquet",
    "ruamel.yaml",
    "safetensors.torch",
    "scipy.ndimage",
    "segmentation_models_pytorch",
    "sklearn.metrics",
    "snakemake.cli",
    "snakemake.script",
    "torchvision",
)


def serve(path: str) -> dict:
    """Fork a watcher for each connection; return, in the child of each, what it is to run."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # watchers are reaped by the kernel
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        if os.fork():
            connection.close()
            continue
        listener.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        job, descriptors = receive(connection)
        child = os.fork()
        if child:
            watch(connection, child)
        connection.close()
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        return job


def receive(connection: socket.socket) -> tuple[dict, list[int]]:
    """Read a job and the three standard descriptors of the process that it came from."""
    numbers = array.array("i")
    head, ancillary, _, _ = connection.recvmsg(4, socket.CMSG_LEN(3 * numbers.itemsize))
    for _, _, data in ancillary:
        numbers.frombytes(data)
    (length,) = struct.unpack("!I", head)
    text = b""
    while len(text) < length:
        text += connection.recv(length - len(text))
    return json.loads(text), list(numbers)


def watch(connection: socket.socket, child: int) -> None:
    """Pass signals on to the child's group; tell how it ended; kill it if nobody waits any more."""
    ended = os.pidfd_open(child)
    while True:
        ready, _, _ = select.select([connection, ended], [], [])
        if ended in ready:
            _, status = os.waitpid(child, 0)
            try:
                connection.sendall(struct.pack("!i", os.waitstatus_to_exitcode(status)))
            finally:
                os._exit(0)
        numbers = connection.recv(16)
        for number in numbers or bytes([signal.SIGKILL]):
            try:
                os.killpg(child, number)
            except ProcessLookupError:
                break


def become(job: dict, libraries: list[str]) -> None:
    """Make this process look as Python leaves it before it runs the command."""
    os.setsid()
    os.chdir(job["cwd"])
    os.umask(job["umask"])
    os.environ.clear()
    os.environ.update(job["environ"])
    interrupt = signal.SIG_IGN if job["ignores_interrupt"] else signal.default_int_handler
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    sys.orig_argv, sys.argv = job["orig_argv"], job["argv"]
    added = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    script = job["orig_argv"][1]
    first = job["cwd"] if script == "-m" else os.path.dirname(os.path.realpath(script))
    sys.path[:] = [first, *added, *libraries]
    random.seed()  # else each child draws the same where a seed was forgotten
    sys.modules["numpy"].random.seed()
    sys.modules["torch"].seed()


def run() -> None:
    """Run the command as __main__, as Python would."""
    script = sys.orig_argv[1]
    if script == "-m":
        runpy.run_module(sys.orig_argv[2], run_name="__main__", alter_sys=True)
        return
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    main.__dict__.update(__file__=os.path.abspath(script), __builtins__=__builtins__)
    with open(script, encoding="utf-8") as file:
        code = compile(file.read(), script, "exec")
    exec(code, main.__dict__)


def preload() -> list[str]:
    """Import the libraries; the paths that they came from."""
    del sys.path[0]
    added = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [path for path in sys.path if path not in added]
    for name in LIBRARIES:
        importlib.import_module(name)
    sys.modules["colorama"].deinit()  # DVC has it wrap the standard streams when it is imported
    gc.freeze()
    return list(sys.path)


def end_of(work: Callable[[], None]) -> int:
    """Run to the exit code, as Python would."""
    try:
        work()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        traceback.print_exc()
        return -signal.SIGINT
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    paths = preload()
    become(serve(sys.argv[1]), paths)
    code = end_of(run)
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)  # taking a process with torch apart costs half a second
