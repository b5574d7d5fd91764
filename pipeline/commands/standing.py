"""How a line stands: who counts what, how far, and whether the books add up. Pure; `status` shows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.batch import Position
from pipeline.report.counted import question
from pipeline.report.record import Position as Counted

OUTCOMES = ("unique", "duplicates", "unknownTypes", "rejected")


@dataclass(frozen=True, slots=True)
class Ingest:
    """What an ingest last said of itself: its 200s before `pending_since` (else `time`) are in Kafka; Unix ms."""

    name: str
    time: int
    pending_since: int | None


@dataclass(frozen=True, slots=True)
class Share:
    """How one partition stands.

    Attributes:
        owner: the worker that holds it; "" if none does.
        copies: the workers that were told to keep a copy of it; None: not known.
        offset: of the last beacon record counted; -1 before the first.
        end: offset after the last beacon record there is.
        lag: beacon records there are and not counted.
        time: receive time of the newest beacon counted, Unix ms; 0 before the first.
    """

    partition: int
    owner: str
    offset: int
    end: int
    lag: int
    time: int
    ledger: Mapping[str, int]
    copies: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How the line stands.

    Attributes:
        asked_at: Unix ms.
        counted_through: every beacon answered 200 before this is counted; None while some record is not.
    """

    asked_at: int
    shares: tuple[Share, ...]
    ingests: tuple[Ingest, ...]
    counted_through: int | None

    @property
    def lag(self) -> int:
        """Return how many beacon records are not counted."""
        return sum(share.lag for share in self.shares)

    @property
    def ledger(self) -> dict[str, int]:
        """Return the sum of the partitions' ledgers."""
        total: dict[str, int] = {}
        for share in self.shares:
            for name, count in share.ledger.items():
                total[name] = total.get(name, 0) + count
        return total

    @property
    def adds_up(self) -> bool:
        """Tell whether every partition's beacons are all accounted for."""
        return all(missing(share.ledger) == 0 for share in self.shares)


def missing(ledger: Mapping[str, int]) -> int:
    """Return how many beacons no outcome accounts for (negative: some are accounted for twice)."""
    return ledger.get("beacons", 0) - sum(ledger.get(name, 0) for name in OUTCOMES)


def standing(
    asked_at: int,
    first: Mapping[int, int],
    end: Mapping[int, int],
    positions: Mapping[int, Position],
    owners: Mapping[int, str],
    ingests: Iterable[Ingest],
    topic_id: str,
    copies: Mapping[int, tuple[str, ...]] | None = None,
) -> Standing:
    """Return how the line stands.

    Args:
        asked_at: taken before all else was asked for, Unix ms.
        first: per partition the offset of the first beacon record there is.
        end: per partition the offset after the last.
        positions: what is counted; asked for after `end`.
        owners: the worker's name by partition.
        ingests: what each last said, asked for before `end`.
        topic_id: of topic `beacons`.
        copies: the names of the workers that keep one, by partition; None: not known.
    """
    shares = []
    for part in sorted(end):
        position = positions.get(part, Position())
        lag = max(0, end[part] - max(position.offset + 1, first[part]))
        owner = owners.get(part, "")
        kept = None if copies is None else copies.get(part, ())
        shares.append(Share(part, owner, position.offset, end[part], lag, position.time, position.ledger, kept))
    known = tuple(ingests)
    held = {ingest.name: ingest.time if ingest.pending_since is None else ingest.pending_since for ingest in known}
    asked = question(asked_at, first, end, held, topic_id)
    counted = {part: Counted(part, at.offset, at.time, at.ledger, at.topic) for part, at in positions.items()}
    through = asked.through() if asked.satisfied(counted) else None
    return Standing(asked_at, tuple(shares), known, through)


def as_json(found: Standing) -> dict[str, Any]:
    """Return a standing in the words of `status --json`."""
    return {
        "askedAt": found.asked_at,
        "countedThrough": found.counted_through,
        "lag": found.lag,
        "partitions": [
            {
                "partition": share.partition,
                "owner": share.owner or None,
                "copies": None if share.copies is None else list(share.copies),
                "position": share.offset,
                "end": share.end,
                "lag": share.lag,
                "newest": share.time or None,
                "ledger": dict(share.ledger),
            }
            for share in found.shares
        ],
        "ledger": found.ledger,
        "addsUp": found.adds_up,
        "ingests": [
            {"ingest": ingest.name, "time": ingest.time, "pendingSince": ingest.pending_since}
            for ingest in found.ingests
        ],
    }
