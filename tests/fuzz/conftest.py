"""The fuzzer is built for x86-64 alone: elsewhere these tests are not there to be run."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = [] if find_spec("atheris") else ["test_fuzz.py"]
