"""A compressed body in the clear: all of it, and never more than the limit."""

from __future__ import annotations

import gzip
import zlib

import pytest

from ingest.answers import Refused
from ingest.reading import inflate

LIMIT = 1000


def gzipped(plain: bytes) -> bytes:
    # Without the time in it: it is part of a test's name, and those are the same in every process that collects them.
    return gzip.compress(plain, mtime=0)


@pytest.mark.parametrize(
    ("body", "plain"),
    [
        (gzipped(b"one"), b"one"),
        (zlib.compress(b"one"), b"one"),
        (gzipped(b"one") + gzipped(b"") + gzipped(b"two"), b"onetwo"),
        (gzipped(b"x" * LIMIT), b"x" * LIMIT),
        (gzipped(b"x" * LIMIT) + gzipped(b""), b"x" * LIMIT),
        # What follows and is no member is left out, as gzip does.
        (gzipped(b"one") + bytes(8), b"one"),
    ],
)
def test_every_member_of_a_body_is_read(body: bytes, plain: bytes) -> None:
    assert inflate(body, LIMIT) == plain


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (gzipped(b"x" * LIMIT) + gzipped(b"y"), Refused.TOO_LARGE),
        (gzipped(b"x" * LIMIT) * 2, Refused.TOO_LARGE),
        (gzipped(b"one") + gzipped(b"two")[:-9], Refused.BAD_ENCODING),
        (gzipped(b"") * 10_000, Refused.BAD_ENCODING),
    ],
    ids=["a byte over", "twice the limit", "cut in its second member", "ten thousand members"],
)
def test_members_are_bounded_together(body: bytes, reason: Refused) -> None:
    assert inflate(body, LIMIT) is reason
