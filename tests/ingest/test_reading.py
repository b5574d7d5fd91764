"""A compressed body in the clear: all of it, and never more than the limit."""

from __future__ import annotations

import gzip
import zlib

import pytest

from ingest.answers import Refused
from ingest.reading import inflate

LIMIT = 1000


@pytest.mark.parametrize(
    ("body", "plain"),
    [
        (gzip.compress(b"one"), b"one"),
        (zlib.compress(b"one"), b"one"),
        (gzip.compress(b"one") + gzip.compress(b"") + gzip.compress(b"two"), b"onetwo"),
        (gzip.compress(b"x" * LIMIT), b"x" * LIMIT),
        (gzip.compress(b"x" * LIMIT) + gzip.compress(b""), b"x" * LIMIT),
        # What follows and is no member is left out, as gzip does.
        (gzip.compress(b"one") + bytes(8), b"one"),
    ],
)
def test_every_member_of_a_body_is_read(body: bytes, plain: bytes) -> None:
    assert inflate(body, LIMIT) == plain


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (gzip.compress(b"x" * LIMIT) + gzip.compress(b"y"), Refused.TOO_LARGE),
        (gzip.compress(b"x" * LIMIT) * 2, Refused.TOO_LARGE),
        (gzip.compress(b"one") + gzip.compress(b"two")[:-9], Refused.BAD_ENCODING),
        (gzip.compress(b"") * 10_000, Refused.BAD_ENCODING),
    ],
    ids=["a byte over", "twice the limit", "cut in its second member", "ten thousand members"],
)
def test_members_are_bounded_together(body: bytes, reason: Refused) -> None:
    assert inflate(body, LIMIT) is reason
