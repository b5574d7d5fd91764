"""`make players`: so many viewers watch until Ctrl-C; then what they sent stands beside what the report must say."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from yarl import URL

from deploy.players.requests import Client, Request, request_of
from deploy.players.tally import Tally
from deploy.players.viewer import Step, visit

PARTNERS = ("4242", "4242", "4242", "585231", "101")
ENTRIES = 60
RESENT = 0.02
SAY_EVERY_SECONDS = 10.0
LAST_ANSWERS_SECONDS = 5.0


class Settings(BaseSettings):
    """How many viewers, and where ingest and report listen."""

    model_config = SettingsConfigDict(frozen=True)

    players: int = Field(default=200, ge=1, le=20_000)
    ingest_host: str = "127.0.0.1"
    ingest_port: int = 8080
    report_port: int = 8081
    data_dir: Path = Path("var")


class Audience:
    """Viewers who come, watch, leave and are followed by others."""

    def __init__(self, settings: Settings, http: aiohttp.ClientSession) -> None:
        self._base = f"http://{settings.ingest_host}:{settings.ingest_port}"
        self._http = http
        self._draw = random.Random()
        self._sending: set[asyncio.Task[None]] = set()
        self.tally = Tally()

    async def watch(self, first_after: float) -> None:
        """Be one viewer after the other."""
        await asyncio.sleep(first_after)
        while True:
            await self._visit()
            await asyncio.sleep(self._draw.expovariate(1 / 3))

    async def last_answers(self) -> None:
        """Wait for the answers that are still to come."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=LAST_ANSWERS_SECONDS)

    async def _visit(self) -> None:
        rank = min(ENTRIES - 1, int(self._draw.paretovariate(0.7)) - 1)
        media = (PARTNERS[rank % len(PARTNERS)], f"1_media{rank:02d}")
        client = self._draw.choices(list(Client), (30, 60, 10))[0]
        session = {"sessionId": f"{uuid.UUID(int=self._draw.getrandbits(128))}:m{rank}"}
        index = 0
        for step in visit(30 + 13.0 * rank, self._draw.random):
            await asyncio.sleep(step.wait)
            if step.restart:
                index = 0
                session.pop("sessionStartTime", None)
            index += 1
            # A player does not wait for its answer, and says the first one that came from then on.
            task = asyncio.create_task(self._event(client, media, session, index, step))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _event(
        self, client: Client, media: tuple[str, str], session: dict[str, str], index: int, step: Step
    ) -> None:
        partner, entry = media
        address = {"eventType": step.type, "partnerId": partner, "entryId": entry}
        told = {"eventIndex": index, "deliveryType": "hls", "playbackType": "vod"}
        request = request_of(client, address | session | told | step.told)
        answer = await self._send(request)
        if answer is None:
            self.tally.unanswered(partner, entry)
        else:
            session.setdefault("sessionStartTime", answer)
            self.tally.answered(partner, entry, step.type, round(float(step.told.get("bufferTime", 0)) * 1000))
        if self._draw.random() < RESENT:
            # As browsers do when a connection is cut after the request has arrived.
            await asyncio.sleep(self._draw.random())
            self.tally.again(partner, entry)
            await self._send(request)

    async def _send(self, request: Request) -> str | None:
        """Return the answer; None if it was no 200."""
        url = URL(self._base + request.target, encoded=True)
        headers = {"Origin": "http://player.test", "User-Agent": "Mozilla/5.0 (simulated player)"}
        try:
            if request.preflight:
                asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
                async with self._http.options(url, headers=headers | asks):
                    pass
            typed = headers | ({"Content-Type": request.type} if request.type else {})
            body = request.body or None
            async with self._http.request(request.method, url, data=body, headers=typed) as answer:
                text = await answer.text()
                return text if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError):
            return None


async def play(settings: Settings) -> None:
    """Run until Ctrl-C or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    began = int(time.time())
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
        audience = Audience(settings, http)
        viewers = [asyncio.create_task(audience.watch(20.0 * n / settings.players)) for n in range(settings.players)]
        print(f"{settings.players} viewers come within 20 s; Ctrl-C stops them and shows what they sent", flush=True)
        while not stop.is_set():
            await _wait(stop, SAY_EVERY_SECONDS)
            sent = audience.tally.total()
            print(
                f"{audience.tally.beacons} beacons: {sent.plays} plays, {sent.views} views, "
                f"{sent.buffer_ms / 1000:.3f} s of buffering, {sent.again} sent again, {sent.unanswered} without a 200",
                flush=True,
            )
        for viewer in viewers:
            viewer.cancel()
        for ended in await asyncio.gather(*viewers, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended
        await audience.last_answers()
    print(*audience.tally.lines(), sep="\n")
    asked = f"window=10s&from={began // 10 * 10}&by=entry&metrics=plays,views,bufferTime&order=-plays&format=csv"
    held = settings.data_dir / "demo-key"
    key = f'-H "Authorization: Bearer $(cat {held})" ' if held.exists() else ""
    print(f"The report must say the same:\n  curl {key}'http://127.0.0.1:{settings.report_port}/v1/report?{asked}'")


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, so long at most."""
    await asyncio.wait([asyncio.create_task(event.wait())], timeout=seconds)


def main(_: Sequence[str] = ()) -> int:
    """Return 0 after a stop, 2 for a setting that cannot be used."""
    try:
        settings = Settings()
    except ValidationError as error:
        first = error.errors()[0]
        print(f"{str(first['loc'][0]).upper()}: {first['msg']} ({first['input']!r})", file=sys.stderr)
        return 2
    asyncio.run(play(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
