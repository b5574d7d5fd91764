"""Bytes found by coverage: what makes the readers of requests, lines and spool files take another way is tried next."""
