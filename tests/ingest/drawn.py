"""Strategies of hypothesis: beacons with any bytes anywhere."""

from __future__ import annotations

from hypothesis import strategies as st

from ingest.beacon import Beacon

raw = st.one_of(st.binary(max_size=60), st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace")))

beacons = st.builds(
    Beacon,
    id=st.from_regex(r"[0-9a-f]{12}-[1-9][0-9]{0,6}", fullmatch=True),
    time=st.integers(0, 2**43),
    address=st.sampled_from(["", "203.0.113.0", "2001:db8:1::"]),
    method=st.sampled_from(["GET", "POST"]),
    path=st.sampled_from([b"/collect", b"/api_v3/index.php"]),
    query=raw,
    agent=raw,
    referer=raw,
    content_type=raw,
    body=raw,
)
