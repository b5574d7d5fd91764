"""Has the checkers installed before the first test that needs one."""

from __future__ import annotations

import pytest

from tests.manifests import checkers


@pytest.fixture(scope="session")
def tools() -> None:
    checkers.install()
