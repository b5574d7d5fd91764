"""A whole line with keys for all tests here, and a real Chromium that looks at its page."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright

from deploy.local import kafka, page
from tests.e2e.conftest import broker  # noqa: F401
from tests.e2e.line import Line

CHROMIUM = "/usr/bin/chromium"
# Chromium looks for its maker's services at every start; here is no way to them.
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
PICTURES = Path(__file__).parents[2] / "build" / "screenshots"
PARTNER = "4242"


@dataclass(frozen=True, slots=True)
class Shown:
    """A line and a key of the partner whose page is looked at."""

    line: Line
    key: str


@pytest.fixture(scope="module")
def shown(broker: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:  # noqa: F811
    """Start a line with a key file; everything lives as long as the tests of one file."""
    folder = tmp_path_factory.mktemp("browser")
    create = (sys.executable, "-m", "pipeline", "keys", "--file", str(folder / "keys.json"), "create")
    made = subprocess.run((*create, "--partner", PARTNER), check=True, capture_output=True, text=True)
    kafka.fetch()
    settings = {"REPORT_KEYS": str(folder / "keys.json"), "REPORT_ASSETS": str(page.unpack_assets())}
    line = Line(broker.bootstrap, "browser-", folder / "line", **settings)  # type: ignore[attr-defined]
    try:
        asyncio.run(line.start(workers=1))
        yield Shown(line, made.stdout.split()[-1])
    finally:
        line.close()


@dataclass(slots=True)
class Visit:
    """A page that is open, and what went wrong on it."""

    page: Page
    complaints: list[str]


@pytest.fixture
async def visit(shown: Shown) -> AsyncIterator[Visit]:
    """Open the page signed in; a console error, a page error or a breach of the CSP fails the test."""
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
        await page.fill("input[name=key]", shown.key)
        await page.click("#sign-in button")
        await page.wait_for_selector("#content:not([hidden])")
        yield visit
        await browser.close()
    assert visit.complaints == []
