"""What makes two beacons the same event: the identity of design section 5, as a 16-byte digest."""

from __future__ import annotations

from xxhash import xxh3_128_digest

# What players write for "none": kAnalony sends the text null, scripts undefined (protocol.md section 3).
ABSENT = frozenset({b"", b"null", b"undefined", b"NaN"})


def identity_of(
    partner: bytes, session: bytes, index: bytes, entry: bytes, event_type: bytes, session_start: bytes
) -> bytes:
    """Return the digest of a segment's event: two beacons with equal parts are one event.

    All parts are percent-decoded bytes. A segment is one run of eventIndex inside a session; its
    sessionStartTime and entry tell it from the next run (protocol.md section 4).
    """
    text = b"\0".join((partner, session, index, entry, event_type, session_start))
    if text.count(b"\0") != 5:
        # A value holds a NUL itself (%00): lengths keep the parts apart, so that no two identities meet.
        parts = (partner, session, index, entry, event_type, session_start)
        text = b"\0\0" + b"".join(b"%d:%b" % (len(part), part) for part in parts)
    return xxh3_128_digest(text)


def pair_identity_of(partner: bytes, session: bytes, index: bytes) -> bytes:
    """Return the digest of the bare pair (sessionId, eventIndex) of a partner: DEDUPE_BY=pair."""
    return identity_of(partner, session, index, b"", b"", b"")


def record_identity_of(record_id: str) -> bytes:
    """Return the digest of a beacon that names no session or no index: only its own copies repeat it."""
    return xxh3_128_digest(b"\0id\0" + record_id.encode())
