"""The whole line as real processes in a network of its own, hurt by faults drawn from a seed, judged row by row."""
