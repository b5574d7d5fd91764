"""Who counts what and who keeps copies: every partition once, even, sticky, and warm after the loss of any worker."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from faust.assignor import PartitionAssignor
from faust.assignor.client_assignment import ClientAssignment, ClientMetadata
from hypothesis import given
from hypothesis import strategies as st

from pipeline.assignor import Assignor
from pipeline.commands.copies import kept_by
from pipeline.sharing import Share, is_even, shared

Group = dict[str, Share]


def _joined(before: Group, partitions: int, copies: int, *names: str) -> Group:
    return shared(before | {name: Share() for name in names}, partitions, copies)


def _without(group: Group, *names: str) -> Group:
    return {name: share for name, share in group.items() if name not in names}


def _loads(group: Group) -> list[int]:
    return sorted(len(share.counts) for share in group.values())


def test_the_first_worker_counts_everything_and_has_no_copies() -> None:
    assert _joined({}, 4, 1, "a") == {"a": Share({0, 1, 2, 3}, set())}


def test_two_workers_keep_copies_of_each_other() -> None:
    group = _joined(_joined({}, 4, 1, "a"), 4, 1, "b")
    assert (group["a"].counts, group["a"].copies) == (group["b"].copies, group["b"].counts)
    assert _loads(group) == [2, 2]


def test_a_third_worker_gets_its_part_of_four_partitions() -> None:
    assert _loads(_joined(_joined({}, 4, 1, "a", "b"), 4, 1, "c")) == [1, 1, 2]


def test_more_workers_than_partitions_leave_spares_that_keep_copies_or_nothing() -> None:
    group = _joined({}, 2, 1, "a", "b", "c", "d")
    assert _loads(group) == [0, 0, 1, 1]
    assert sum(len(share.copies) for share in group.values()) == 2


def test_nobody_is_there() -> None:
    assert shared({}, 4, 1) == {}


def test_two_that_claim_one_partition_do_not_both_get_it() -> None:
    group = shared({"a": Share({0, 1}), "b": Share({1, 7})}, 2, 0)
    assert group == {"a": Share({1}), "b": Share({0})}


_steps = st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=1, max_size=12)


@given(partitions=st.integers(1, 24), copies=st.integers(0, 3), steps=_steps)
def test_whoever_comes_and_goes_all_is_counted_once_evenly_and_goes_on_from_copies(
    partitions: int, copies: int, steps: list[tuple[bool, int]]
) -> None:
    group: Group = {}
    losses = 0
    for number, (joins, drawn) in enumerate(steps):
        before = group
        if joins or len(group) < 2:
            group = _joined(group, partitions, copies, f"{drawn}-{number}")
            lost: set[int] = set()
            losses = 0
        else:
            gone = sorted(group)[drawn % len(group)]
            lost = group[gone].counts
            losses += bool(lost)
            group = shared(_without(group, gone), partitions, copies)
        assert sorted(part for share in group.values() for part in share.counts) == list(range(partitions))
        held = Counter(part for share in group.values() for part in share.copies)
        assert all(held[part] == min(copies, len(group) - 1) for part in range(partitions))
        assert all(not share.counts & share.copies for share in group.values())
        loads = _loads(group)
        assert loads[-1] - loads[0] <= 1 + losses
        if lost and copies:
            moved = {(part, name) for name, share in group.items() for part in share.counts - before[name].counts}
            assert all(part in before[name].copies for part, name in moved)
        # Asked again with nothing changed, what losses had left uneven is even, by partitions with copies; then all
        # stays as it is.
        again = shared(group, partitions, copies)
        assert is_even(again)
        moves = {(part, name) for name, share in again.items() for part in share.counts - group[name].counts}
        assert not copies or all(part in group[name].copies for part, name in moves)
        assert not (moves and is_even(group))


def test_what_a_loss_leaves_uneven_is_even_when_asked_again_with_warm_copies() -> None:
    # Two of four are lost at once, and one of the other two has nearly all copies.
    before = {"a": Share({6, 7}, {0, 1, 2, 3, 4, 5}), "b": Share({0, 3}, {6})}
    after = shared(before, 8, 1)
    assert (_loads(after), is_even(after)) == ([3, 5], False)
    again = shared(after, 8, 1)
    assert (_loads(again), is_even(again)) == ([4, 4], True)


def test_what_a_loss_leaves_uneven_has_its_copy_where_it_goes_later() -> None:
    # Three partitions, five workers: the one that has a copy counts already, two others count nothing.
    group: Group = {}
    for name in ("c", "a", "x", "y", "d"):
        group = _joined(group, 3, 1, name)
    after = shared(_without(group, "x"), 3, 1)
    assert _loads(after) == [0, 0, 1, 2]
    again = shared(after, 3, 1)
    assert is_even(again)
    assert all(share.counts <= after[name].counts | after[name].copies for name, share in again.items())


def _app(url: str) -> Any:
    tables = SimpleNamespace(changelog_topics=set(), data={})
    return SimpleNamespace(tables=tables, conf=SimpleNamespace(canonical_url=url), tracer=None)


def _assignor(url: str = "http://w") -> Assignor:
    return Assignor(_app(url), replicas=1)


def _member(topics: list[str], url: str, counts: list[int], copies: list[int]) -> ConsumerProtocolMemberMetadata:
    held = ClientAssignment(actives={"beacons": counts}, standbys={"beacons": copies})
    said = ClientMetadata(assignment=held, url=url, changelog_distribution={})
    return ConsumerProtocolMemberMetadata(4, topics, said.dumps())


_cluster: Any = SimpleNamespace(partitions_for_topic=lambda topic: {0, 1, 2, 3} if topic == "beacons" else None)


def _told(leader: Assignor, copies: list[int]) -> Any:
    """Return what a leader tells two workers, of which one was lost: uneven where the other has no copies."""
    return leader._perform_assignment(
        _cluster,
        {"a": _member(["beacons"], "http://w", [0], copies), "b": _member(["beacons"], "http://b", [1], [])},
    )


def test_only_who_shared_out_last_and_unevenly_knows_that_it_is_to_be_shared_again() -> None:
    leader, follower = _assignor(), _assignor("http://b")
    assert not leader.left_uneven
    uneven = _told(leader, [2, 3])
    leader.on_assignment(uneven["a"])
    follower.on_assignment(uneven["b"])
    assert (leader.left_uneven, follower.left_uneven) == (True, False)
    leader.on_assignment(_told(leader, [])["a"])
    assert not leader.left_uneven
    leader.on_assignment(uneven["a"])
    leader.on_assignment(_told(follower, [2, 3])["a"])  # Another leads now: it is that one's to share again.
    assert not leader.left_uneven


def test_a_leader_that_restarts_within_its_session_still_knows_that_it_is_to_be_shared_again() -> None:
    uneven = _told(_assignor(), [2, 3])
    # Kafka tells it what it was told before, and asks nobody to share.
    restarted = _assignor()
    restarted.on_assignment(uneven["a"])
    assert restarted.left_uneven


def test_a_worker_that_does_not_know_of_sharing_again_reads_and_says_the_same_as_before() -> None:
    uneven = _told(_assignor(), [2, 3])
    older = PartitionAssignor(_app("http://b"), replicas=1)
    older.on_assignment(uneven["b"])
    assert older.assigned_actives() == {("beacons", 1)}
    assert older.group_for_topic("beacons") == 0
    # And a leader reads what such a worker says when it joins again.
    members = {"a": _member(["beacons"], "http://w", [0, 2, 3], []), "b": older.metadata({"beacons"})}
    told = _assignor()._perform_assignment(_cluster, members)
    assert dict(told["a"].assignment)["beacons"] != dict(uneven["a"].assignment)["beacons"]
    older.on_assignment(told["b"])
    assert len(older.assigned_actives()) == 2


def test_a_leader_that_a_broker_told_of_no_topic_shares_out_what_there_was_at_the_start() -> None:
    nothing: Any = SimpleNamespace(partitions_for_topic=lambda topic: None)
    members = {"a": _member(["beacons"], "http://w", [0, 1], []), "b": _member(["beacons"], "http://b", [2, 3], [])}
    leader = _assignor()
    leader.partitions["beacons"] = 4
    told = leader._perform_assignment(nothing, members)
    assert {name: dict(one.assignment)["beacons"] for name, one in told.items()} == {"a": [0, 1], "b": [2, 3]}
    # And what Kafka says goes before what was known.
    leader.partitions["beacons"] = 2
    assert (
        sum(len(dict(one.assignment)["beacons"]) for one in leader._perform_assignment(_cluster, members).values()) == 4
    )


@pytest.mark.parametrize("topics", [["beacons"], ["beacons", "another"]])
def test_the_assignor_tells_each_member_its_share_in_fausts_words(topics: list[str]) -> None:
    assignor = _assignor()
    told = assignor._perform_assignment(
        _cluster, {"a": _member(topics, "http://w", [0, 1, 2, 3], []), "b": _member(topics, "http://other", [], [])}
    )
    assert sorted(len(dict(one.assignment)["beacons"]) for one in told.values()) == [2, 2]
    assignor.on_assignment(told["a"])  # Faust's own reading of it: it refuses what does not fit.
    counted = {tp.partition for tp in assignor.assigned_actives() if tp.topic == "beacons"}
    copied = {tp.partition for tp in assignor.assigned_standbys() if tp.topic == "beacons"}
    assert (len(counted), counted | copied) == (2, {0, 1, 2, 3})
    # And `status` reads of it who keeps which copy; a member that has just joined was told nothing yet.
    kept = kept_by([("new", b""), *((name, one.encode()) for name, one in told.items())], "beacons")
    assert sorted(kept) == [0, 1, 2, 3]
    assert {number for number, names in kept.items() if names == ("a",)} == copied
