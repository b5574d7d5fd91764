"""python -m tests.chaos.clocked FILE MODULE ...: a program whose clock is wrong by as many seconds as FILE says.

The clock is the one that Python code reads. libfaketime would reach Kafka's client as well, but breaks time.sleep
in Python 3.11 (EINVAL); Kafka's client measures durations by the monotonic clock, and stamps nothing that counts.
"""

from __future__ import annotations

import mmap
import runpy
import struct
import sys
import time
from pathlib import Path

_SECONDS = struct.Struct("<d")


def write_clock(file: Path, seconds: float) -> None:
    """Set by how much the clocks of the programs that look at this file are wrong, from now on."""
    if not file.exists():
        file.write_bytes(_SECONDS.pack(0.0))
    with file.open("r+b") as opened:
        opened.write(_SECONDS.pack(seconds))


def _main() -> None:
    file, module = sys.argv[1:3]
    with Path(file).open("rb") as opened:
        wrong = mmap.mmap(opened.fileno(), _SECONDS.size, access=mmap.ACCESS_READ)
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + _SECONDS.unpack_from(wrong)[0]
    time.time_ns = lambda: real_ns() + int(_SECONDS.unpack_from(wrong)[0] * 1_000_000_000)
    sys.argv = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
