"""`probe`: sends a known set of beacons each minute as players do, and holds the report to it as dashboards do."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import signal
import time
from dataclasses import dataclass
from typing import Any

import aiohttp
import click

from pipeline.commands.known import METRICS, Outcome, Place, Send, judge, known_set, next_round, rows_of
from pipeline.commands.probe_metrics import ProbeMetrics
from pipeline.config import LineSettings, ProbeSettings, RefusedSetting, WorkerSettings, read_settings
from pipeline.health import serve_health
from pipeline.logs import set_up_logs

log = logging.getLogger(__name__)

ASK_AGAIN_S = 0.25
ANSWER_S = 10
MOST_SHOWN = 300


class Unreachable(Exception):
    """Ingest or report did not answer as it must; the words are for people."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a round ended, and in one line why.

    Attributes:
        visible_s: from the last 200 until the report equalled the set; None if it did not.
    """

    outcome: Outcome
    said: str
    visible_s: float | None = None


@click.command()
@click.option("--once", is_flag=True, help="Send one set now, under entries of its own, say how it ended, and end.")
def probe(once: bool) -> None:
    """Send a known set of beacons each minute, and hold the report to it, until SIGTERM.

    Ten requests of a synthetic partner (PROBE_PARTNER), with repeats and an index that begins again, go to
    PROBE_INGEST_URL; PROBE_REPORT_URL is asked, with the key in PROBE_KEY_FILE (one of that partner is enough),
    until it equals the set or PROBE_DEADLINE_S have passed. It uses HTTP alone, as players and dashboards do;
    /metrics at PROBE_PORT says how it went. Rows of the synthetic partner stay in the line as any other's.

    With --once, exits with 1 unless the report equals the set.
    """
    settings, line = read_settings(ProbeSettings), read_settings(LineSettings)
    by_pair = read_settings(WorkerSettings).dedupe_by == "pair"
    set_up_logs(line.log_format)
    key = _key(settings)
    if not once:
        asyncio.run(_every_minute(settings, key, by_pair))
        return
    name = f"{settings.name}-once-{secrets.token_hex(4)}"
    ended = asyncio.run(_one_round(settings, key, known_set(settings.partner, name, int(time.time()) // 60, by_pair)))
    click.echo(f"{ended.outcome}: {ended.said}")
    if ended.outcome is not Outcome.EQUAL:
        raise SystemExit(1)


def _key(settings: ProbeSettings) -> str:
    if settings.key_file is None:
        return ""
    try:
        return settings.key_file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedSetting(f"PROBE_KEY_FILE={settings.key_file} cannot be read: {error}") from error


async def _every_minute(settings: ProbeSettings, key: str, by_pair: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    metrics = ProbeMetrics()
    pages = None
    if settings.port:
        try:
            pages = await serve_health(settings.host, settings.port, lambda: True, metrics.registry)
        except OSError as error:
            raise RefusedSetting(f"PROBE_HOST={settings.host} PROBE_PORT={settings.port}: {error}") from error
    log.info("probe %s started: %s, %s", settings.name, settings.ingest_url, settings.report_url)
    while not await _is_set(stop, next_round(time.time()) - time.time()):
        sends = known_set(settings.partner, settings.name, int(time.time()) // 60, by_pair)
        rounds = asyncio.ensure_future(_one_round(settings, key, sends))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait([rounds, stopping], return_when="FIRST_COMPLETED")
        stopping.cancel()
        if not rounds.done():
            # What was sent is counted all the same; nobody is left to look.
            rounds.cancel()
            break
        _note(rounds.result(), metrics)
        # The second of this round is over before the next one is looked for.
        await _is_set(stop, 1)
    if pages is not None:
        await pages.cleanup()
    log.info("probe %s stopped", settings.name)


def _note(ended: Ended, metrics: ProbeMetrics) -> None:
    if ended.visible_s is not None:
        metrics.visible(ended.visible_s)
    metrics.ended(ended.outcome, time.time())
    if ended.outcome is not Outcome.EQUAL:
        log.warning("%s: %s", ended.outcome, ended.said)


async def _is_set(stop: asyncio.Event, within_s: float) -> bool:
    try:
        async with asyncio.timeout(max(0.0, within_s)):
            await stop.wait()
    except TimeoutError:
        return False
    return True


async def _one_round(settings: ProbeSettings, key: str, sends: tuple[Send, ...]) -> Ended:
    """Send a set and see how the report takes it. Never raises what a network brings."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        try:
            received = [await _send(http, settings.ingest_url, one) for one in sends]
            return await _watch(http, settings, key, rows_of(sends, received), received[-1])
        except Unreachable as error:
            return Ended(Outcome.UNREACHABLE, str(error))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Ended(Outcome.UNREACHABLE, f"{type(error).__name__} {error}".strip())


async def _send(http: aiohttp.ClientSession, url: str, one: Send) -> int:
    """Send a request and return the second that ingest answers.

    Raises:
        Unreachable: it is not answered 200 with a second.
    """
    target = f"{url.rstrip('/')}/api_v3/index.php"
    addressed = {"service": "analytics", "action": "trackEvent"}
    if one.form == "query":
        asking = http.get(target, params=one.parameters)
    elif one.form == "json":
        rest = {name: value for name, value in one.parameters.items() if name not in addressed}
        typed = {"Content-Type": "application/json"}
        asking = http.post(target, params=addressed, data=json.dumps(rest).encode(), headers=typed)
    else:
        asking = http.post(target, params=addressed, data=one.parameters)
    async with asking as answer:
        said = await answer.text()
        if answer.status != 200 or not said.strip().isdigit():
            raise Unreachable(f"ingest at {url} answers {answer.status}: {said.strip()[:MOST_SHOWN]}")
        return int(said)


async def _watch(
    http: aiohttp.ClientSession,
    settings: ProbeSettings,
    key: str,
    must_be: dict[Place, tuple[int, int, int]],
    last: int,
) -> Ended:
    """Ask the report until the round ends."""
    began = time.monotonic()
    visible: float | None = None
    while True:
        answer = await _ask(http, settings, key, must_be)
        passed = time.monotonic() - began
        verdict = judge(must_be, answer, last, passed >= settings.deadline_s)
        if not verdict.is_equal:
            visible = None
        elif visible is None:
            visible = passed
        if verdict.outcome is Outcome.EQUAL:
            return Ended(Outcome.EQUAL, f"the report had the set {visible:.1f} s after the last 200", visible)
        if verdict.outcome is Outcome.WRONG:
            return Ended(Outcome.WRONG, f"partner {settings.partner}, {verdict.difference}")
        if verdict.outcome is Outcome.LATE:
            through = f"{settings.deadline_s} s after the last 200 the report has counted through"
            return Ended(Outcome.LATE, f"{through} {answer['countedThrough']}, the 200 was at {last}")
        await asyncio.sleep(ASK_AGAIN_S)


async def _ask(
    http: aiohttp.ClientSession, settings: ProbeSettings, key: str, must_be: dict[Place, tuple[int, int, int]]
) -> dict[str, Any]:
    """Return the report's answer about the set's minutes.

    Raises:
        Unreachable: it does not answer 200.
    """
    starts = [start for start, _ in must_be]
    asked = {
        "window": "1m",
        "by": "time,entry",
        "metrics": ",".join(METRICS),
        "partnerId": settings.partner,
        "entryId": ",".join(sorted({entry for _, entry in must_be})),
        "from": str(min(starts)),
        # A minute more: countedThrough goes no further than the range.
        "to": str(max(starts) + 120),
    }
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    url = settings.report_url.rstrip("/")
    async with http.get(f"{url}/v1/report", params=asked, headers=headers) as answer:
        body = await answer.read()
    try:
        found: dict[str, Any] = json.loads(body)
    except ValueError:
        found = {}
    if answer.status != 200 or "rows" not in found or "countedThrough" not in found:
        said = body.decode("utf-8", "replace").strip()[:MOST_SHOWN]
        raise Unreachable(f"the report at {url} answers {answer.status}: {said}")
    return found
