"""python -m tests.chaos --minutes N --seed S: exit 0 if no row of any window is wrong, and nothing shrank."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from tests.chaos import namespace


def main() -> int:
    """Run the faults of one seed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="leave the run's folder with its logs behind")
    asked = parser.parse_args()
    namespace.enter()

    from tests.chaos.run import run
    from tests.chaos.stage import remove

    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        result = asyncio.run(run(asked.seed, asked.minutes, folder))
    finally:
        if asked.keep:
            print(f"logs in {folder}/line/log")
        else:
            remove(folder)
    print(result.summary())
    if not result.findings:
        return 0
    print(*result.findings, sep="\n")
    print(f"Again: python -m tests.chaos --minutes {asked.minutes:g} --seed {asked.seed}")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
