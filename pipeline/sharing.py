"""Which worker counts which partition, and who keeps copies of it: sticky, even, and ready for the loss of any worker.

A partition stays where it is; one whose worker is lost goes to a worker with a copy of it. The copies of one worker's
partitions are spread evenly over all others, so that its loss leaves the load even without opening anything cold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Share:
    """What one worker has: the partitions that it counts, and those that it keeps copies of."""

    counts: set[int] = field(default_factory=set)
    copies: set[int] = field(default_factory=set)


def shared(before: Mapping[str, Share], partitions: int, copies: int) -> dict[str, Share]:
    """Return what each worker is to have.

    Args:
        before: what each worker that is there now says that it has.
        partitions: how many there are.
        copies: of each partition beside its owner, as far as there are other workers.
    """
    workers = sorted(before)
    after = {worker: Share() for worker in workers}
    if not workers:
        return after
    owner: dict[int, str] = {}
    for worker in workers:
        for number in before[worker].counts & set(range(partitions)):
            owner.setdefault(number, worker)
    for number, worker in owner.items():
        after[worker].counts.add(number)
    orphans = [number for number in range(partitions) if number not in owner]
    for number in orphans:
        holders = [worker for worker in workers if number in before[worker].copies] or workers
        _fewest(after, holders).counts.add(number)
    _even_out(before, after, is_loss=any(number in share.copies for share in before.values() for number in orphans))
    _place_copies(before, after, min(copies, len(workers) - 1))
    return after


def is_even(shares: Mapping[str, Share]) -> bool:
    """Tell whether no worker counts two partitions more than another."""
    counts = [len(share.counts) for share in shares.values()]
    return not counts or max(counts) - min(counts) <= 1


def _fewest(after: dict[str, Share], workers: list[str]) -> Share:
    return after[min(workers, key=lambda worker: (len(after[worker].counts), worker))]


def _even_out(before: Mapping[str, Share], after: dict[str, Share], is_loss: bool) -> None:
    """Move partitions until workers differ by one: to workers with a copy first.

    After a loss a difference stays rather than that a partition is opened without a copy: asked again once the new
    copies are warm, it is evened out.
    """
    while True:
        most = max(len(share.counts) for share in after.values())
        takers = [worker for worker, share in after.items() if len(share.counts) < most - 1]
        moves = [
            (
                not (warm := share.counts & before[to].copies),
                len(after[to].counts),
                min(warm or share.counts),
                giver,
                to,
            )
            for giver, share in after.items()
            if len(share.counts) == most
            for to in takers
        ]
        if not moves:
            return
        is_cold, _, number, giver, to = min(moves)
        if is_cold and is_loss:
            return
        after[giver].counts.remove(number)
        after[to].counts.add(number)


def _place_copies(before: Mapping[str, Share], after: dict[str, Share], copies: int) -> None:
    """Give each partition its copies: where one is warm already, if that spreads each owner's over all others.

    First of all where it is to be counted later, of what a loss left uneven: else it would go there without a copy.
    """
    later = _moves_left(before, after)
    for owner, share in sorted(after.items()):
        others = [worker for worker in sorted(after) if worker != owner]
        if not others:
            return
        even = copies * len(share.counts) // len(others)
        placed = dict.fromkeys(others, 0)
        for number in sorted(share.counts):
            # A worker that counted it until now has the warmest copy there is.
            warmth = {w: 2 * (number in before[w].counts) + (number in before[w].copies) for w in others}
            rank = {
                w: (later.get(number) != w, placed[w] >= even, -warmth[w], placed[w], len(after[w].copies), w)
                for w in others
            }
            for worker in sorted(others, key=rank.__getitem__)[:copies]:
                placed[worker] += 1
                after[worker].copies.add(number)


def _moves_left(before: Mapping[str, Share], after: Mapping[str, Share]) -> dict[int, str]:
    """Return by partition which worker is to take it until all are even."""
    even = {worker: Share(set(share.counts)) for worker, share in after.items()}
    _even_out(before, even, is_loss=False)
    return {number: worker for worker, share in even.items() for number in share.counts - after[worker].counts}
