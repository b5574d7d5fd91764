"""A network and mounts of this run's own: faults that cut, drop and fill touch nothing else on the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

_INSIDE = "CHAOS_INSIDE"
_TOOLS = {"unshare": "util-linux", "ip": "iproute2", "nft": "nftables", "strace": "strace", "prlimit": "util-linux"}


def enter() -> None:
    """Run this program again in namespaces of its own, unless it is there already."""
    if os.environ.get(_INSIDE):
        _run("mount", "--make-rprivate", "/")
        _run("ip", "link", "set", "lo", "up")
        return
    missing = [package for tool, package in _TOOLS.items() if shutil.which(tool) is None]
    if missing:
        raise SystemExit(f"The faults need Debian's packages {' '.join(missing)}")
    # Without root a user namespace gives the same rights inside.
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    arguments = [sys.executable, "-m", "tests.chaos", *sys.argv[1:]]
    command = ["unshare", "--net", "--mount", *as_root, "--", *arguments]
    os.execvpe(command[0], command, os.environ | {_INSIDE: "1"})


def mount_memory(folder: os.PathLike[str], mebibytes: int) -> None:
    """Mount a small disk of memory there; it goes with the namespace."""
    _run("mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "chaos", os.fspath(folder))


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
