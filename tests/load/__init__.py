"""Benchmarks: our components and their peers, side by side, as ratios of CPU time."""
