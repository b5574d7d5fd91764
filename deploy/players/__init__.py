"""Simulated players for a line that runs: live traffic shaped by recorded real ones."""
