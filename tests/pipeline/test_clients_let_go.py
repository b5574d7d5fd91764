"""A Kafka client that got no answer is let go at once: its threads and connections wait for no search for cycles."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException

from deploy.local.kafka import free_port
from pipeline.changelog import Lost
from pipeline.config import KafkaSettings
from pipeline.report import kafka_source
from pipeline.topics import topic_id_of

TRIES = 5


@pytest.fixture(autouse=True)
def no_search_for_cycles() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def asked_in_vain(ask: Callable[[], object], wrong: type[Exception]) -> None:
    with pytest.raises(wrong):
        ask()


@pytest.mark.parametrize("who", ["worker", "report"])
def test_a_client_without_an_answer_leaves_no_thread(who: str, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    monkeypatch.setattr(kafka_source, "ASK_SECONDS", 0.1)
    options = {"bootstrap.servers": nobody, "log_level": 0}
    ask, wrong = {
        "worker": (lambda: topic_id_of(KafkaSettings(bootstrap=nobody), "beacons", 0.1), Lost),
        "report": (lambda: kafka_source.topic_id(options, "windows"), KafkaException),
    }[who]
    asked_in_vain(ask, wrong)
    before = threads()
    for _ in range(TRIES):
        asked_in_vain(ask, wrong)
    assert threads() < before + TRIES
