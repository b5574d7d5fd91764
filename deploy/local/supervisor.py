"""Starts processes stage by stage, starts again what dies, stops them in order; in one thread."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Sequence

from deploy.local.child import Child, how_it_ended

STOPPING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
AWAITED = STOPPING | {signal.SIGCHLD}
START_SECONDS = 120.0
FIRST_STARTS = 3
BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)
STEADY_SECONDS = 30.0


class StopAsked(Exception):
    """Ctrl-C, SIGTERM or a closed terminal: stop everything."""


class CannotStart(Exception):
    """The line did not come up; the text is the line to print."""


class Supervisor:
    """Holds every child that is to run.

    Signals are blocked in this process for its life and taken one by one where it waits, so that none
    interrupts a start or a stop halfway.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._children: list[Child] = []
        self._deaths: dict[str, int] = {}
        self._due: dict[str, float] = {}
        signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)

    def start(self, children: Sequence[Child]) -> None:
        """Start these and wait until every one is ready.

        Raises:
            CannotStart: one ended again and again, or was not ready in time.
            StopAsked: somebody wants everything stopped.
        """
        for child in children:
            self._children.append(child)
            child.start()
        deadline = time.monotonic() + START_SECONDS
        waiting = list(children)
        while waiting:
            self._turn(0.1)
            for child in children:
                if self._deaths.get(child.name, 0) >= FIRST_STARTS:
                    raise CannotStart(f"{child.name} does not start: {child.last_line()} (see {child.log})")
            waiting = [child for child in waiting if not child.ready()]
            if waiting and time.monotonic() > deadline:
                late = waiting[0]
                raise CannotStart(f"{late.name} was not ready after {START_SECONDS:.0f} s: see {late.log}")

    def once(self, child: Child) -> None:
        """Run this to its end.

        Raises:
            CannotStart: it failed.
            StopAsked: somebody wants everything stopped.
        """
        child.start()
        try:
            while child.running():
                self._turn(0.1)
            code = child.exit_code()
        finally:
            child.finish(1.0)
        if code:
            raise CannotStart(f"{child.name} failed: {child.last_line()} (see {child.log})")

    def watch(self) -> None:
        """Start again what dies, until somebody wants everything stopped (StopAsked)."""
        while True:
            self._turn(0.5 if self._due else 3600.0)

    def stop(self, stages: Iterable[Sequence[Child]], seconds: float) -> None:
        """Stop these, one stage after the other, in so many seconds altogether."""
        deadline = time.monotonic() + seconds
        for stage in stages:
            for child in stage:
                child.ask_to_stop()
            limit = time.monotonic() + max((child.stop_seconds for child in stage), default=0.0)
            for child in stage:
                if not child.finish(min(limit, deadline) - time.monotonic()):
                    self._say(f"{child.name} did not stop in time and was killed")

    def _turn(self, seconds: float) -> None:
        """Wait for a signal for so long, then see to what died."""
        taken = signal.sigtimedwait(AWAITED, seconds)
        if taken is not None and taken.si_signo in STOPPING:
            raise StopAsked
        now = time.monotonic()
        for child in self._children:
            due = self._due.get(child.name)
            if due is not None and now >= due:
                del self._due[child.name]
                child.start()
            elif due is None and not child.running():
                self._plan_restart(child, now)

    def _plan_restart(self, child: Child, now: float) -> None:
        code = child.exit_code()
        child.finish(0.0)
        deaths = 0 if now - child.started_at > STEADY_SECONDS else self._deaths.get(child.name, 0)
        delay = BACKOFF_SECONDS[min(deaths, len(BACKOFF_SECONDS) - 1)]
        self._deaths[child.name] = deaths + 1
        self._due[child.name] = now + delay
        self._say(f"{child.name} ended ({how_it_ended(code or 0)}), is started again in {delay} s; see {child.log}")
