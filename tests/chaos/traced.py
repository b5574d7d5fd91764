"""python -m tests.chaos.traced CALL N MODULE ...: a program that is killed when it makes a system call the N-th time.

strace counts per thread and sends SIGKILL on entry: what the call was to do is not done.
"""

from __future__ import annotations

import os
import sys


def command(call: str, number: int, *program: str) -> list[str]:
    """Return what runs a program so."""
    inject = f"inject={call}:signal=SIGKILL:when={number}"
    return [
        "strace",
        "-f",
        "-qq",
        "-o",
        os.devnull,
        "-e",
        f"trace={call}",
        "-e",
        inject,
        "--",
        *program,
    ]


if __name__ == "__main__":
    traced = command(sys.argv[1], int(sys.argv[2]), sys.executable, "-m", *sys.argv[3:])
    os.execvp(traced[0], traced)
