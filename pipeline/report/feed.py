"""The thread that carries topic `windows` into the read model."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pipeline.report.readmodel import Identity, ReadModel, is_damage
from pipeline.report.record import Batch, Position, Record, fold, whole_checkpoints

log = logging.getLogger(__name__)

EXPIRE_EVERY_SECONDS = 600
PAUSE_SECONDS = 1.0
STOP_SECONDS = 5.0
SAY_AGAIN_SECONDS = 60.0
WRITE_BACK_SECONDS = 1.0
# A checkpoint is smaller than this; records past it without a position are let through as they are.
LARGEST_CHECKPOINT = 200_000

Block = tuple[str, str, int]


class StartAgain(Exception):
    """The source can no longer say what comes next: open the read model again, from its own offsets."""


class Source(Protocol):
    """Where records of `windows` come from."""

    def identity(self) -> Identity:
        """Return the topic's identity; raise StartAgain while there is none."""

    def start(self, next_offsets: dict[int, int]) -> None:
        """Read every partition from these offsets on; from its beginning where none is given."""

    def poll(self) -> list[Record]:
        """Return what came, waiting a short while for the first; raise StartAgain on doubt."""

    def caught_up(self) -> bool:
        """Tell whether every partition was read to its end since `start`."""

    def close(self) -> None:
        """Let go of the connection."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What the read model holds after a batch.

    Attributes:
        generation: grows when the file was opened again, and may be another file.
        revision: of the file.
        positions: of every partition.
        blocks: (partnerId, window, block) that changed.
        rows: how many rows the batch changed.
        caught_up: `windows` was read to its end once since the file was opened.
        complete: it was read to its end once in the file's life.
        unreadable: records that said nothing to this catalog.
    """

    generation: int
    revision: int
    positions: dict[int, Position]
    blocks: frozenset[Block]
    rows: int
    caught_up: bool
    complete: bool
    unreadable: int


def changed_blocks(batch: Batch) -> frozenset[Block]:
    """Return the blocks that a batch touches."""
    return frozenset((key[1], table.window.name, key[0]) for table, rows in batch.rows.items() for key in rows)


class Feed:
    """Runs in a thread of its own until told to stop."""

    def __init__(self, source: Source, model: ReadModel, on_applied: Callable[[Applied], None]) -> None:
        self._source = source
        self._model = model
        self._on_applied = on_applied
        self._stopping = threading.Event()
        self._generation = 0
        self._doubted = -1
        # By what is said.
        self._quiet_until: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="report-feed", daemon=True)
        self._beside = threading.Thread(target=self._write_back, name="report-write-back", daemon=True)

    def start(self) -> None:
        """Start the threads."""
        self._thread.start()
        self._beside.start()

    def ask_to_stop(self) -> None:
        """Let the thread end after what it does now."""
        self._stopping.set()

    def stop(self) -> None:
        """Wait until the thread has ended; not for a Kafka that does not answer, as nothing is lost by leaving."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS)

    def doubt(self, generation: int) -> None:
        """Build the file again, if it is still the one that was found damaged; called from any thread."""
        self._doubted = generation

    def alive(self) -> bool:
        """Tell whether both threads run: without the one that writes back, the WAL would fill the disk."""
        return self._thread.is_alive() and self._beside.is_alive()

    def _run(self) -> None:
        self._in_doubt_of(self._show)
        while not self._stopping.is_set():
            self._in_doubt_of(self._carry)
            self._stopping.wait(PAUSE_SECONDS)
        self._source.close()
        self._model.close()

    def _in_doubt_of(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (StartAgain, sqlite3.Error) as doubt:
            if is_damage(doubt):
                self._model.distrust(str(doubt))
            self._say("counts are not read on, trying again from the stored offsets: %s", doubt)

    def _say(self, what: str, why: Exception) -> None:
        if time.monotonic() > self._quiet_until.get(what, 0.0):
            log.warning(what, why)
            self._quiet_until[what] = time.monotonic() + SAY_AGAIN_SECONDS

    def _write_back(self) -> None:
        while not self._stopping.wait(WRITE_BACK_SECONDS):
            try:
                self._model.write_back()
            except sqlite3.Error as fault:
                # The writer hears nothing of it, and goes on in the WAL.
                self._say("the read model's WAL is not written back: %s", fault)
                if is_damage(fault):
                    self.doubt(self._generation)

    def _show(self) -> None:
        """Show what was counted before: while Kafka is away, it is still there to be read."""
        if self._model.open_as_it_is():
            self._announce(Batch())

    def _carry(self) -> None:
        """Open the file and carry records into it until told to stop or in doubt."""
        self._model.open(self._source.identity())
        self._generation += 1
        self._source.start(self._model.next_offsets)
        self._announce(Batch())
        waiting: list[Record] = []
        expire_at = time.monotonic() + EXPIRE_EVERY_SECONDS
        caught_up = False
        while not self._stopping.is_set():
            if self._doubted == self._generation:
                self._model.distrust("a question found a damaged page")
                raise StartAgain("the file is damaged where nothing was written")
            waiting += self._source.poll()
            ready, waiting = whole_checkpoints(waiting)
            if len(waiting) > LARGEST_CHECKPOINT:
                ready, waiting = ready + waiting, []
            if ready:
                self._apply(ready)
            if not caught_up and self._source.caught_up():
                caught_up = True
                self._model.mark_complete()
                self._announce(Batch())
            if time.monotonic() > expire_at:
                expire_at += EXPIRE_EVERY_SECONDS
                self._model.expire()

    def _apply(self, records: list[Record]) -> None:
        batch = fold(records)
        self._model.apply(batch)
        self._announce(batch)

    def _announce(self, batch: Batch) -> None:
        self._on_applied(
            Applied(
                generation=self._generation,
                revision=self._model.revision,
                positions=dict(self._model.positions),
                blocks=changed_blocks(batch),
                rows=sum(len(rows) for rows in batch.rows.values()),
                caught_up=self._source.caught_up(),
                complete=self._model.complete,
                unreadable=batch.unreadable,
            )
        )
