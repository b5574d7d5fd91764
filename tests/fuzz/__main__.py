"""Fuzz one target by coverage: `python -m tests.fuzz request --seconds 600` or `--runs 1000000`.

What it finds is left as a file where it was started, and named; `--corpus` keeps what it has learnt for the next time.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris
import click

with atheris.instrument_imports(include=["ingest", "pipeline"]):
    from tests.fuzz.targets import TARGETS, seeds


@click.command()
@click.argument("target", type=click.Choice(sorted(TARGETS)))
@click.option("--seconds", default=0, help="how long at most; 0: without end")
@click.option("--runs", default=-1, help="how many inputs; -1: without end")
@click.option("--seed", default=1)
@click.option("--corpus", type=click.Path(path_type=Path), help="folder of inputs, kept and grown")
def main(target: str, seconds: int, runs: int, seed: int, corpus: Path | None) -> None:
    """Try inputs until the time or the number is over, or one breaks a promise."""
    with tempfile.TemporaryDirectory() as fresh:
        folder = corpus or Path(fresh)
        folder.mkdir(parents=True, exist_ok=True)
        for number, raw in enumerate(seeds(target)):
            (folder / f"seed-{number}").write_bytes(raw)
        options = (
            f"-max_total_time={seconds}",
            f"-runs={runs}",
            f"-seed={seed}",
            "-max_len=4096",
            # An input that is read without end is a finding; by default it is one after twenty minutes, if at all.
            "-timeout=30",
            "-print_final_stats=1",
        )
        atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={Path.cwd()}/", str(folder)], TARGETS[target])
        # Ends the process: 0, or 77 and the input where a promise was broken.
        atheris.Fuzz()


if __name__ == "__main__":
    main()
