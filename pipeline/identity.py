"""What makes two beacons the same event: the identity of design section 5, as a 16-byte digest."""

from __future__ import annotations

from xxhash import xxh3_128_digest

# What players write for "none": kAnalony sends the text null, scripts undefined (protocol.md section 3).
ABSENT = frozenset({"", "null", "undefined", "NaN"})


def identity_of(partner: str, session: str, index: str, entry: str, event_type: str, session_start: str) -> bytes:
    """Return the digest of a segment's event: two beacons with equal parts are one event.

    Parts are percent-decoded; a byte that is no UTF-8 stands in them as a surrogate, so that %ff and %fe stay
    two sessions. A segment is one run of eventIndex inside a session; sessionStartTime and entry tell it from
    the next run (protocol.md section 4).
    """
    text = f"{partner}\0{session}\0{index}\0{entry}\0{event_type}\0{session_start}"
    if text.count("\0") != 5:
        # A value holds a NUL itself (%00): lengths keep the parts apart, so that no two identities meet.
        parts = (partner, session, index, entry, event_type, session_start)
        text = "\0\0" + "".join(f"{len(part)}:{part}" for part in parts)
    return xxh3_128_digest(text.encode("utf-8", "surrogateescape"))


def pair_identity_of(partner: str, session: str, index: str) -> bytes:
    """Return the digest of the bare pair (sessionId, eventIndex) of a partner: WORKER_DEDUPE_BY=pair."""
    return identity_of(partner, session, index, "", "", "")


def session_of(partner: str, session: str) -> bytes:
    """Return the 8-byte digest of a partner's session."""
    return xxh3_128_digest(f"{partner}\0{session}".encode("utf-8", "surrogateescape"))[:8]


def record_identity_of(record_id: str) -> bytes:
    """Return the digest of a beacon that names no session or no index: only its own copies repeat it."""
    return xxh3_128_digest(f"\0id\0{record_id}".encode("utf-8", "surrogatepass"))
