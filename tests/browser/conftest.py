"""A whole line with keys for all tests here, and a real Chromium that looks at its page."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from playwright.async_api import Page, async_playwright, expect

from deploy.local import kafka, page
from tests.e2e.broker import Broker
from tests.e2e.line import PATIENT, Line
from tests.e2e.wait import until

CHROMIUM = "/usr/bin/chromium"
# Chromium looks for its maker's services at every start; here is no way to them.
# And a container has little shared memory.
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
)
PICTURES = Path(__file__).parents[2] / "build" / "screenshots"
PARTNER = "4242"
# Playwright's 5 s are little where a browser, a line and its Kafka share two cores.
expect.set_options(timeout=60_000)
_numbers = itertools.count(1)
_sessions = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Shown:
    """A line and a key of the partner whose page is looked at."""

    line: Line
    key: str

    async def another_key(self, *whose: str) -> str:
        """Make a key for somebody else and wait until the report has found it."""
        key = make_key(self.line.settings["REPORT_KEYS"], *whose)

        async def is_known() -> bool:
            bearer = {"Authorization": f"Bearer {key}"}
            async with (
                aiohttp.ClientSession() as http,
                http.get(f"{self.line.report_url}/v1/status", headers=bearer) as said,
            ):
                return said.status == 200

        await until(is_known, 30, "the report knows the key")
        return key


def make_key(file: str, *whose: str) -> str:
    create = (sys.executable, "-m", "pipeline", "keys", "--file", file, "create", *whose)
    return subprocess.run(create, check=True, capture_output=True, text=True).stdout.split()[-1]


@pytest.fixture(scope="module")
def shown(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """Start a line with a key file; everything lives as long as the tests of one file."""
    folder = tmp_path_factory.mktemp("browser")
    key = make_key(str(folder / "keys.json"), "--partner", PARTNER)
    kafka.fetch()
    settings = {"REPORT_KEYS": str(folder / "keys.json"), "REPORT_ASSETS": str(page.unpack_assets())} | PATIENT
    line = Line(broker.bootstrap, f"browser{next(_numbers)}-", folder / "line", **settings)
    try:
        asyncio.run(line.start(workers=1))
        yield Shown(line, key)
    finally:
        line.close()


@dataclass(slots=True)
class Visit:
    """A page that is open, and what went wrong on it."""

    page: Page
    complaints: list[str]

    async def sign_in(self, key: str) -> None:
        """Sign in and wait for the numbers' place."""
        await self.page.fill("input[name=key]", key)
        await self.page.click("#sign-in button")
        await self.page.wait_for_selector("#content:not([hidden])")


@asynccontextmanager
async def visiting(shown: Shown, key: str, *expected: str) -> AsyncIterator[Visit]:
    """Open the page signed in; a console error but those expected, a page error or a breach of the CSP is a fault."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET])
        page = await browser.new_page(viewport={"width": 1280, "height": 1000}, color_scheme="light")
        visit = Visit(page, [])
        page.on("console", lambda said: visit.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: visit.complaints.append(str(error)))
        await page.add_init_script(
            "addEventListener('securitypolicyviolation', (e) => console.error('CSP ' + e.violatedDirective))"
        )
        await page.goto(shown.line.report_url + "/")
        await visit.sign_in(key)
        yield visit
        await browser.close()
    assert [said for said in visit.complaints if not any(word in said for word in expected)] == []


@pytest.fixture
async def visit(shown: Shown) -> AsyncIterator[Visit]:
    """Open the page signed in as the partner."""
    async with visiting(shown, shown.key) as visit:
        yield visit


async def post(shown: Shown, entry: str, *kinds: int) -> list[int]:
    """Send one viewer's beacons; return when ingest had each, by its answer (Unix seconds)."""
    received = []
    session = f"browser-{next(_sessions)}"
    async with aiohttp.ClientSession() as http:
        for index, kind in enumerate(kinds, 1):
            query = (
                f"service=analytics&action=trackEvent&eventType={kind}&partnerId={PARTNER}"
                f"&entryId={quote(entry, safe='')}"
                f"&sessionId={session}&eventIndex={index}&bufferTime=0.5&playbackType=live"
            )
            async with http.get(f"{shown.line.ingest_url}/api_v3/index.php?{query}") as answer:
                assert answer.status == 200
                received.append(int(await answer.text()))
    return received


def number(name: str) -> str:
    return f'.tile[data-tile="{name}"] .number'
