"""The sessions of one partition: those with events lately in memory, the others in the store."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.batch import SessionState
from pipeline.event import NO_SESSION, Event
from pipeline.firsts import Firsts
from pipeline.sessions import Session, SessionFold
from pipeline.store import Store
from pipeline.windows import Cells


class HeldSessions:
    """Gives each event its session."""

    def __init__(self, store: Store, fold: SessionFold, most: int) -> None:
        """Hold up to `most` sessions in memory, more only while they change."""
        self._store = store
        self._fold = fold
        self._most = most
        self._sessions: dict[bytes, Session] = {}
        self._touched: dict[bytes, Session] = {}

    def bring(self, events: Sequence[tuple[int, Event]], low_s: int, high_s: int) -> None:
        """Bring the sessions of these events into memory."""
        missing = list({event.session for _, event in events if event.session not in self._sessions} - {NO_SESSION})
        if missing:
            known = self._store.sessions(missing, low_s, high_s)
            for digest in missing:
                raw = known.get(digest)
                self._sessions[digest] = Session() if raw is None else Session.decoded(raw, self._fold.making)

    def fold(self, event: Event, cells: Cells, firsts: Firsts) -> None:
        """Take an event that is no duplicate into its session."""
        session = self._touched[event.session] = self._sessions[event.session]
        self._fold.fold(session, event, cells, firsts)

    def take_touched(self) -> list[SessionState]:
        """Return what changed since this was last asked."""
        touched, self._touched = self._touched, {}
        return [(digest, session.time_s, session.encoded(self._fold.making)) for digest, session in touched.items()]

    def forget(self) -> None:
        """Give memory back; call it only when every session taken as touched is in the store."""
        if len(self._sessions) > self._most:
            self._sessions = dict(self._touched)
