"""The circuit to Kafka over time."""

from __future__ import annotations

from ingest.circuit import Circuit


def test_nothing_is_offered_before_kafka_has_taken_something() -> None:
    circuit = Circuit()
    assert not circuit.closed
    circuit.acked(1.0)
    assert circuit.closed


def test_a_record_given_up_opens_it_until_the_next_acknowledgement() -> None:
    circuit = Circuit()
    circuit.acked(1.0)
    circuit.failed()
    circuit.failed()
    assert (circuit.closed, circuit.opened) == (False, 1)
    circuit.acked(2.0)
    assert circuit.closed


def test_an_overdue_record_opens_it_only_if_nothing_sent_since_was_acknowledged() -> None:
    #   sent 1.0      ack 1.1      overdue 1.3     -> only that partition is slow
    #   sent 1.2                   overdue 1.5     -> nothing since: Kafka is away
    circuit = Circuit()
    circuit.acked(1.1)
    circuit.overdue(1.0, 1.3)
    assert circuit.closed
    circuit.overdue(1.2, 1.5)
    assert not circuit.closed


def test_a_heartbeat_closes_it_but_not_past_beacons_that_are_stuck() -> None:
    #   overdue 1.5   heartbeat 2.0: stays open   heartbeat 8.0: what was stuck is settled by now
    circuit = Circuit()
    circuit.beat_acked(0.5)
    assert circuit.closed
    circuit.overdue(1.2, 1.5)
    circuit.beat_acked(2.0)
    assert (circuit.closed, circuit.seen()) == (False, 2.0)
    circuit.beat_acked(8.0)
    assert circuit.closed


def test_an_acknowledged_beacon_closes_it_at_once() -> None:
    circuit = Circuit()
    circuit.overdue(1.2, 1.5)
    circuit.acked(1.6)
    assert circuit.closed
