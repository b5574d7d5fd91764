"""The page in a real Chromium over a real line: what viewers do shows up, and nothing they send does harm."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable
from pathlib import Path

import aiohttp
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Route, expect

from tests.browser.conftest import PICTURES, Shown, Visit, number, post, visiting
from tests.browser.payloads import PAYLOADS
from tests.e2e.wait import until

pytestmark = pytest.mark.e2e

# Notes in the page when what an element shows became what (Unix ms): who asks from outside learns of it late.
NOTE_CHANGES = """(selector) => {
  window.changes = [];
  const note = () => {
    const text = document.querySelector(selector)?.textContent;
    if (text !== window.changes.at(-1)?.[0]) window.changes.push([text, Date.now()]);
  };
  new MutationObserver(note).observe(document.body, { childList: true, characterData: true, subtree: true });
}"""
FRESH_SECONDS = 2
MOST_POSTS = 20


async def test_a_beacon_shows_up_by_itself(shown: Shown, visit: Visit) -> None:
    await post(shown, "1_live", 1, 2, 3, 99)
    await expect(visit.page.locator('#top button[data-entry="1_live"]')).to_be_visible()
    await expect(visit.page.locator(number("Plays"))).to_have_text(re.compile("^[1-9]"))
    before, took = int(await visit.page.inner_text(number("Plays"))), list[float]()
    await visit.page.evaluate(NOTE_CHANGES, number("Plays"))
    # One of them is seen so soon: others may want the machine.
    while len(took) < MOST_POSTS and min(took, default=60) > FRESH_SECONDS:
        await post(shown, "1_live", 1, 2, 3)
        answered, wanted = time.time(), str(before + len(took) + 1)
        await expect(visit.page.locator(number("Plays"))).to_have_text(wanted)
        shown_ms = next(at for text, at in await visit.page.evaluate("window.changes") if text == wanted)
        took.append(shown_ms / 1000 - answered)
    print("on the page", *(f"{one:.2f}" for one in took), "s after the 200")
    assert min(took) <= FRESH_SECONDS
    await expect(visit.page.locator(number("Peak"))).to_have_text(re.compile("^[1-9]"))
    await expect(visit.page.locator(number("Audience now"))).to_have_text(re.compile(r"^\d"))
    # Of the 15 minutes shown, which begin within an hour.
    await expect(visit.page.locator(number("Sessions"))).to_have_text(re.compile("^[1-9]"))
    await expect(visit.page.locator('.tile[data-tile="Sessions"]')).to_contain_text("since")


async def test_a_table_sorts_an_entry_opens_and_a_link_is_the_view(shown: Shown, visit: Visit) -> None:
    page = visit.page
    await asyncio.gather(post(shown, "1_many", 3, 99, 99, 99), post(shown, "1_few", 3, 3, 3, 99))
    await expect(page.locator('#top button[data-entry="1_few"]')).to_be_visible()
    await page.click('#top button[data-sort="views"]')
    await expect(page.locator("#top th[aria-sort=descending]")).to_contain_text("views")
    await expect(page.locator("#top tbody tr").first).to_contain_text("1_many")
    await page.click('#top button[data-entry="1_few"]')
    await expect(page.locator("input[name=entryId]")).to_have_value("1_few")
    await expect(page.locator(number("Plays"))).to_have_text("3")
    # The address follows what is shown.
    for said in ("entryId=1_few", "order=-views"):
        await expect(page).to_have_url(re.compile(said))
    link = page.url
    await page.goto("about:blank")
    await page.goto(link)
    await expect(page.locator(number("Plays"))).to_have_text("3")
    await page.go_back()
    await page.go_forward()
    await expect(page.locator("input[name=entryId]")).to_have_value("1_few")


async def test_what_can_be_chosen_is_what_the_catalog_offers(shown: Shown, visit: Visit) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{shown.line.report_url}/v1/catalog") as answer:
        catalog = await answer.json()
    for field, offered in (("metric", "metrics"), ("second", "metrics"), ("window", "windows")):
        options = await visit.page.locator(f"select[name={field}] option").evaluate_all(
            "all => all.map((one) => one.value)"
        )
        assert [value for value in options if value] == [one["name"] for one in catalog[offered]]
    [plays] = [one for one in catalog["metrics"] if one["name"] == "plays"]
    tip = await visit.page.get_attribute('.tile[data-tile="Plays"]', "title")
    assert tip == f"{plays['says']} ({plays['formula']})"


async def test_the_export_is_the_apis_answer(shown: Shown, visit: Visit, tmp_path: Path) -> None:
    await post(shown, "1_csv", 1, 3, 99)
    await visit.page.fill("input[name=entryId]", "1_csv")
    await visit.page.press("input[name=entryId]", "Enter")
    await expect(visit.page.locator(number("Plays"))).to_have_text("1")
    # Seen on its way to the page: asked a second time, it may be the answer of the next 10 s.
    said: list[tuple[int, bytes, str]] = []

    async def passed_on(route: Route) -> None:
        answer = await route.fetch()
        said.append((answer.status, await answer.body(), answer.headers["content-disposition"]))
        await route.fulfill(response=answer)

    await visit.page.route(re.compile(r"/v1/report\?.*format=csv"), passed_on)
    async with visit.page.expect_download() as found:
        await visit.page.click("#export")
    download = await found.value
    path = tmp_path / "export.csv"
    await download.save_as(path)
    [(status, body, disposition)] = said
    assert status == 200
    assert path.read_bytes() == body
    assert f'"{download.suggested_filename}"' in disposition
    assert '"1_csv"' in path.read_text()


async def test_chart_table_lines_and_funnel_say_what_was_counted(shown: Shown, visit: Visit) -> None:
    await post(shown, "1_drawn", 1, 3, 99, 99, 11, 12)
    page = visit.page
    await page.fill("input[name=entryId]", "1_drawn")
    await page.press("input[name=entryId]", "Enter")
    await expect(page.locator(number("Views"))).to_have_text("2")
    await expect(page.locator("#funnel li")).to_contain_text(["1 · 100%", "1 · 100%", "1 · 100%", "0 · 0%", "0 · 0%"])
    await expect(page.locator("#chart-text")).to_contain_text("views")
    # Its line over time goes up somewhere.
    drawn = "one => new Set(one.getAttribute('d').slice(1).split('L').map((point) => point.split(' ')[1])).size > 1"
    await until(lambda: page.locator("#top svg path").first.evaluate(drawn), 60, "a line is drawn")

    await page.click("details:has(#chart-table) summary")
    sum_of = "all => all.reduce((sum, cell) => sum + Number(cell.textContent), 0)"
    views = page.locator("#chart-table tbody td:nth-child(2)")
    await until(lambda: is_equal(views.evaluate_all(sum_of), 2), 60, "the table has the views")
    plays = page.locator("#chart-table tbody td:nth-child(3)")
    assert await plays.evaluate_all(sum_of) == 1
    await expect(page.locator("#chart .u-legend")).to_contain_text("views")

    # What comes is drawn into the same chart: nothing is taken away and built again.
    await page.locator("#chart canvas").evaluate("one => { one.stays = true; }")
    await post(shown, "1_drawn", 3, 99)
    await expect(page.locator(number("Views"))).to_have_text("3")
    await until(lambda: is_equal(views.evaluate_all(sum_of), 3), 60, "the table has the next view")
    assert await page.locator("#chart canvas").evaluate("one => one.stays === true")
    await page.check("input[name=compare]")
    await expect(page.locator("#chart .u-legend")).to_contain_text("views before")


async def is_equal(found: Awaitable[object], wanted: object) -> bool:
    return await found == wanted


async def test_an_export_that_is_refused_says_why(shown: Shown) -> None:
    async with visiting(shown, shown.key, "422") as visit:
        await visit.page.route(
            re.compile(r"/v1/report\?.*format=csv"),
            lambda route: route.fulfill(
                status=422,
                content_type="application/problem+json",
                body=json.dumps({"detail": "the answer has 60000 rows: ask for a shorter range"}),
            ),
        )
        await visit.page.click("#export")
        await expect(visit.page.locator("#problem")).to_contain_text("the answer has 60000 rows")


async def test_hostile_entry_ids_are_text(shown: Shown, visit: Visit) -> None:
    await asyncio.gather(*(post(shown, payload, 3, 3, 99) for payload in PAYLOADS[:20]))
    await asyncio.gather(*(post(shown, payload, 3, 3, 99) for payload in PAYLOADS[20:]))
    page = visit.page
    for payload in PAYLOADS:
        await page.fill("input[name=entryId]", payload)
        await page.press("input[name=entryId]", "Enter")
        await expect(page.locator("#top tbody tr")).to_have_text([re.compile("^" + re.escape(payload))])
    assert await page.evaluate("window.harmed") is None


async def posted_in_one_window(shown: Shown, *kinds: int) -> str:
    """Post for one entry after another until ingest has all of one in the same 10 s; return that entry."""
    for turn in range(MOST_POSTS):
        received = await post(shown, f"1_told{turn}", *kinds)
        if received[0] // 10 == received[-1] // 10:
            return f"1_told{turn}"
    raise AssertionError("a window always ended meanwhile")


async def test_a_number_opens_the_beacons_behind_it_by_keyboard(shown: Shown, visit: Visit) -> None:
    # The newest window opens: both views are to be in it.
    entry = await posted_in_one_window(shown, 1, 3, 99, 99)
    page = visit.page
    await page.fill("input[name=entryId]", entry)
    await page.press("input[name=entryId]", "Enter")
    number_of_views = page.locator('#top button[data-number="views"]')
    await expect(number_of_views).to_have_text(["2"])
    await number_of_views.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#explain")).to_be_visible()
    await expect(page.locator("#explain-title")).to_have_text(f"views of {entry}")
    await expect(page.locator("#explain-formula")).to_contain_text("count of events 99")
    await expect(page.locator("#explain-sum")).to_contain_text("The report says the same.")
    rows = page.locator("#explain-beacons tbody tr")
    await expect(rows).to_have_count(2)
    await expect(rows.first).to_contain_text("bufferTime=0.5")
    await expect(page.locator("#explain-further")).to_be_hidden()
    PICTURES.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=PICTURES / "explained.png")
    found = await Axe().run(page)
    bad = [one for one in found.response["violations"] if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["target"] for node in one["nodes"]]) for one in bad] == []
    await page.evaluate(
        "document.querySelector('#top tbody').replaceWith(document.querySelector('#top tbody').cloneNode(true))"
    )
    await page.keyboard.press("Escape")
    await expect(page.locator("#explain")).to_be_hidden()
    # Also where the table was drawn anew behind the dialog.
    await expect(number_of_views).to_be_focused()
    # A number of a breakdown too.
    number_of_live = page.locator('#splits button[data-split="playbackType"]')
    await number_of_live.click()
    await expect(page.locator("#explain-title")).to_have_text("views of live")
    await expect(page.locator("#explain-sum")).to_contain_text("The report says the same.")
    await expect(rows).to_have_count(2)
    await page.keyboard.press("Escape")
    await expect(number_of_live).to_be_focused()


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
async def test_the_page_is_fit_for_everybody(shown: Shown, visit: Visit, theme: str, width: int) -> None:
    await post(shown, "1_seen", 1, 2, 3, 99, 11, 12, 13, 14)
    page = visit.page
    await page.set_viewport_size({"width": width, "height": 1000})
    await page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    await page.fill("input[name=entryId]", "1_seen")
    await page.press("input[name=entryId]", "Enter")
    await expect(page.locator("#top tbody tr")).to_have_count(1)
    # One for each breakdown, of an entry too: those kept by the hour only show the hours that the range touches.
    await expect(page.locator("#splits h3")).to_contain_text(["Live or not", "Country since", "Site since"])
    await expect(page.locator("#splits > div:not(:has(.bar))")).to_have_count(0)
    await expect(page.locator(number("Plays"))).to_have_text(re.compile("^[1-9]"))
    await expect(page.locator(number("Sessions"))).to_have_text(re.compile("^[1-9]"))
    PICTURES.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=PICTURES / f"{theme}-{width}.png", full_page=True)
    found = await Axe().run(page)
    bad = [one for one in found.response["violations"] if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["target"] for node in one["nodes"]]) for one in bad] == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_signing_out_ends_the_view(visit: Visit) -> None:
    await visit.page.click("#sign-out")
    await expect(visit.page.locator("#sign-in")).to_be_visible()
    assert await visit.page.evaluate("fetch('/v1/report').then((answer) => answer.status)") == 401
    # The browser says in its console that 401 was answered: asked for here.
    visit.complaints[:] = [said for said in visit.complaints if "401" not in said]
