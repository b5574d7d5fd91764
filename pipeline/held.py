"""The sessions of one partition: those with events lately in memory, the others in the store."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.batch import SessionState
from pipeline.event import NO_SESSION, Event
from pipeline.firsts import Firsts
from pipeline.sessions import Session, SessionFold
from pipeline.store import Store
from pipeline.windows import Cells

# What a session may take in memory on average, before all are forgotten: a real viewer's takes 0.8 to 2 kB. One sent on
# purpose (hundreds of entries, dozens of looks) takes 127 kB: a number of sessions alone would bound no memory.
MEAN_BYTES = 4_096
# A session of so few bytes in the store takes no more than that, or hardly: it is not weighed.
SMALL_BYTES = 128
# What a look or a segment takes in memory beside its bytes in the store.
PART_BYTES = 400


class HeldSessions:
    """Gives each event its session."""

    def __init__(self, store: Store, fold: SessionFold, most: int) -> None:
        """Hold up to `most` sessions in memory, fewer where they are large, more only while they change."""
        self._store = store
        self._fold = fold
        self._most = most
        self._sessions: dict[bytes, Session] = {}
        self._touched: dict[bytes, Session] = {}
        # Of each session that is not small, as it was last in the store, and of all.
        self._sizes: dict[bytes, int] = {}
        self._size = 0

    def bring(self, events: Sequence[tuple[int, Event]], low_s: int, high_s: int) -> None:
        """Bring the sessions of these events into memory."""
        if not self._fold.keeps_any:
            return
        missing = list({event.session for _, event in events if event.session not in self._sessions} - {NO_SESSION})
        if missing:
            known = self._store.sessions(missing, low_s, high_s)
            for digest in missing:
                raw = known.get(digest)
                session = Session() if raw is None else Session.decoded(raw, self._fold.making)
                self._sessions[digest] = session
                if raw is not None and len(raw) > SMALL_BYTES:
                    self._weigh(digest, session, raw)

    def fold(self, event: Event, cells: Cells, firsts: Firsts) -> None:
        """Take an event that is no duplicate into its session."""
        session = self._touched[event.session] = self._sessions[event.session]
        self._fold.fold(session, event, cells, firsts)

    def take_touched(self) -> list[SessionState]:
        """Return what changed since this was last asked."""
        touched, self._touched = self._touched, {}
        states: list[SessionState] = []
        for digest, session in touched.items():
            raw = session.encoded(self._fold.making)
            if len(raw) > SMALL_BYTES:
                self._weigh(digest, session, raw)
            states.append((digest, session.time_s, raw))
        return states

    def forget(self) -> None:
        """Give memory back; call it only when every session taken as touched is in the store."""
        if len(self._sessions) > self._most or self._size > self._most * MEAN_BYTES:
            # Those that changed since are weighed when they are taken.
            self._sessions, self._sizes, self._size = dict(self._touched), {}, 0

    def _weigh(self, digest: bytes, session: Session, raw: bytes) -> None:
        parts = len(session.variants) + sum(map(len, session.segments.values()))
        size = len(raw) + PART_BYTES * parts
        self._size += size - self._sizes.get(digest, 0)
        self._sizes[digest] = size
