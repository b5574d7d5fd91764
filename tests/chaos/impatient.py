"""python -m tests.chaos.impatient: an ingest that asks a Kafka that is not there for 0.2 s at its start, not for 3.

For tests that start many of them: how long such a start takes is not what they prove.
"""

from __future__ import annotations

import runpy
import sys

from ingest.sink import Sink, WrongTopic

_look_at_topics = Sink.look_at_topics


def _briefly(self: Sink, seconds: float) -> WrongTopic | None:
    return _look_at_topics(self, min(seconds, 0.2))


if __name__ == "__main__":
    Sink.look_at_topics = _briefly  # type: ignore[method-assign]
    sys.argv[0] = "ingest"
    runpy.run_module("ingest", run_name="__main__", alter_sys=True)
