"""Found by every Python that the tests start: hand a known command over to the zygote."""

import json
import os
import signal
import socket
import struct
import sys


def known(argv: list[str]) -> bool:
    """Whether the zygote knows how to run this: snakemake, dvc, or a script of a rule."""
    if argv[1:3] == ["-m", "dvc"]:
        return True
    if len(argv) < 2 or argv[1].startswith("-"):
        return False
    return os.path.basename(argv[1]) in ("snakemake", "dvc") or argv[1].endswith(".py")


def hand_over(connection: socket.socket) -> None:
    """Let the zygote run this command, wait for it, and end as it ended."""
    umask = os.umask(0)
    os.umask(umask)
    job = {
        "orig_argv": sys.orig_argv,
        "argv": sys.argv,
        "cwd": os.getcwd(),
        "umask": umask,
        "environ": dict(os.environ),
        "ignores_interrupt": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
    }
    text = json.dumps(job).encode()

    def forward(number: int, frame: object) -> None:
        connection.send(bytes([number]))

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    if not job["ignores_interrupt"]:
        signal.signal(signal.SIGINT, forward)
    socket.send_fds(connection, [struct.pack("!I", len(text))], [0, 1, 2])
    connection.sendall(text)
    answer = b""
    while len(answer) < 4:
        part = connection.recv(4 - len(answer))
        if not part:
            os._exit(70)  # the zygote is gone, and the command with it
        answer += part
    (code,) = struct.unpack("!i", answer)
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if "RIBCAGE_TEST_ZYGOTE" in os.environ and known(sys.orig_argv):
    link = socket.socket(socket.AF_UNIX)
    try:
        link.connect(os.environ["RIBCAGE_TEST_ZYGOTE"])
    except OSError:
        pass  # there is none: run as ever
    else:
        hand_over(link)
