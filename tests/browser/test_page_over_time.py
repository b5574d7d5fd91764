"""The page while things change under it: the report goes and comes, somebody else signs in, answers come late."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Page, Request, Route, expect

from tests.browser.conftest import PARTNER, Shown, Visit, number, post, visiting
from tests.e2e.wait import until

pytestmark = pytest.mark.e2e
OTHER = "4343"


async def test_an_operator_sees_the_ledger_go_on(shown: Shown) -> None:
    async with visiting(shown, await shown.another_key("--operator")) as visit:
        health = visit.page.locator("#health")
        for _ in range(2):
            before = await counted(visit.page)
            await post(shown, "1_ledger", 1, 2, 3, 99)
            # Of those that count: what ingest stored twice is among the beacons and the repeats.
            await expect(health).to_have_text(re.compile(rf"beacons = {before + 4:,} counted "))
            await expect(health).not_to_contain_text("DOES NOT ADD UP")
        await expect(health).to_contain_text("0 records behind")
        await expect(visit.page.locator("#problem")).to_have_text("")


async def counted(page: Page) -> int:
    await expect(page.locator("#health")).to_contain_text("beacons =")
    found = re.search(r"beacons = ([\d,]+) counted", await page.inner_text("#health"))
    assert found is not None
    return int(found[1].replace(",", ""))


async def test_a_page_goes_on_by_itself_when_the_report_was_away(shown: Shown) -> None:
    #  Plays 1 | report ends: 503 and refused connections | report starts | a play: Plays 2
    async with visiting(shown, shown.key, "503", "net::ERR_") as visit:
        await only(visit.page, "1_away")
        await post(shown, "1_away", 1, 3, 99)
        await expect(visit.page.locator(number("Plays"))).to_have_text("1")
        report = shown.line.processes["report"]
        await report.stop()
        await expect(visit.page.locator("#problem")).not_to_have_text("")
        await report.start()
        await post(shown, "1_away", 1, 3, 99)
        await expect(visit.page.locator(number("Plays"))).to_have_text("2", timeout=30_000)
        await expect(visit.page.locator("#problem")).to_have_text("")


async def only(page: Page, entry: str) -> None:
    await page.fill("input[name=entryId]", entry)
    await page.press("input[name=entryId]", "Enter")
    await expect(page.locator("#top tbody tr")).to_have_count(0)


async def test_who_signs_in_next_sees_nothing_of_who_was_there_before(shown: Shown, visit: Visit) -> None:
    page = visit.page
    await post(shown, "1_secret", 1, 3, 99)
    await expect(page.locator('#top button[data-entry="1_secret"]')).to_be_visible()
    await page.click('#top button[data-entry="1_secret"]')
    await expect(page).to_have_url(re.compile(f"partnerId={PARTNER}"))
    await page.click("#sign-out")
    await expect(page.locator("#sign-in")).to_be_visible()
    assert "1_secret" not in await page.content()
    # The next one's answers are held back: what is on the page then is what was left there.
    held = asyncio.Event()
    await page.route("**/v1/report*", lambda route: until_told(route, held))
    await page.fill("input[name=key]", await shown.another_key("--partner", OTHER))
    await page.click("#sign-in button")
    await expect(page.locator("#content")).to_be_visible()
    assert "1_secret" not in await page.content()
    held.set()
    await expect(page.locator("input[name=partnerId]")).to_have_value(OTHER)
    await expect(page.locator(number("Plays"))).to_have_text("0")
    assert "1_secret" not in await page.content()
    await page.unroute_all(behavior="wait")
    # What was under way at the sign-out may be answered after it.
    visit.complaints[:] = [said for said in visit.complaints if "401" not in said]


async def until_told(route: Route, told: asyncio.Event) -> None:
    await told.wait()
    await route.continue_()


async def test_a_link_of_another_partner_shows_ones_own(shown: Shown, visit: Visit) -> None:
    await post(shown, "1_own", 1, 3, 99)
    await visit.page.goto(f"{shown.line.report_url}/?partnerId={OTHER}&entryId=1_own")
    await expect(visit.page.locator("input[name=partnerId]")).to_have_value(PARTNER)
    await expect(visit.page.locator('#top button[data-entry="1_own"]')).to_be_visible()


async def test_an_answer_to_what_was_asked_before_is_not_shown_and_leads_to_no_question(
    shown: Shown, visit: Visit
) -> None:
    #  peak of 15m asked ......................... answered 777: not shown
    #          | range becomes 30d: asked anew, answered
    page = visit.page
    late, asked = asyncio.Event(), list[str]()

    async def first(route: Route) -> None:
        await late.wait()
        await route.fulfill(json={"totals": {"peak": 777}, "previous": {"totals": {}}, "estimates": {}})

    await page.route(re.compile("from=now-15m.*metrics=peak"), first, times=1)
    async with page.expect_request(re.compile("from=now-15m.*metrics=peak")):
        await page.reload()
    page.on("request", lambda request: asked.append(request.url))
    await page.select_option("select[name=range]", "30d")
    await expect(page.locator(number("Peak"))).to_have_text(re.compile(r"^\d|^–"))
    async with page.expect_event("requestfinished", lambda one: is_peak(one, "now-15m")):
        late.set()
    # Rounds follow one another: after another one, nothing of the earlier view can be under way.
    async with page.expect_event("requestfinished", lambda one: is_peak(one, "now-30d")):
        pass
    assert await page.inner_text(number("Peak")) != "777"
    questions = [parse_qs(urlsplit(url).query) for url in asked if "/v1/" in url]
    assert {(one["window"][0], one["from"][0]) for one in questions if one.get("from") == ["now-30d"]} == {
        ("1h", "now-30d")
    }
    await expect(page.locator("#problem")).to_have_text("")


def is_peak(request: Request, since: str) -> bool:
    return "metrics=peak" in request.url and f"from={since}" in request.url


async def test_an_audience_that_is_not_known_is_no_zero(shown: Shown, visit: Visit) -> None:
    async def not_counted(route: Route) -> None:
        answer = await (await route.fetch()).json()
        await route.fulfill(json=answer | {"countedThrough": None})

    await visit.page.route(re.compile("metrics=audience"), not_counted)
    await visit.page.reload()
    await expect(visit.page.locator(number("Peak"))).to_have_text(re.compile(r"^\d"))
    await expect(visit.page.locator(number("Audience now"))).to_have_text("–")
    await visit.page.unroute_all(behavior="wait")


async def test_a_page_that_opens_while_the_report_is_not_ready_says_so_and_goes_on(shown: Shown) -> None:
    async with visiting(shown, shown.key, "503") as visit:
        problem = {"type": "about:blank", "title": "Not ready.", "status": 503, "detail": "Wait a moment."}
        await visit.page.route("**/session", lambda route: route.fulfill(status=503, json=problem))
        await visit.page.reload()
        await expect(visit.page.locator("#problem")).to_have_text("Wait a moment.")
        await visit.page.unroute_all(behavior="wait")
        await expect(visit.page.locator("#content")).to_be_visible()
        await expect(visit.page.locator("#problem")).to_have_text("")


async def test_a_tab_that_nobody_looks_at_holds_no_connection(visit: Visit) -> None:
    page = visit.page
    await page.add_init_script(
        "window.streams = []; const Real = EventSource;"
        "window.EventSource = class extends Real { constructor(url) { super(url); streams.push(this); } }"
    )
    await page.reload()
    is_open = "streams.filter((one) => one.readyState !== EventSource.CLOSED).length"

    # Not by wait_for_function: it has the page evaluate a text, which the page's policy forbids.
    async def two_are_open() -> bool:
        return bool(await page.evaluate(is_open) == 2)

    await until(two_are_open, 15, "both streams are open")
    turn = "(hidden) => { Object.defineProperty(document, 'hidden', { configurable: true, value: hidden });"
    turn += " document.dispatchEvent(new Event('visibilitychange')); }"
    await page.evaluate(turn, True)
    assert await page.evaluate(is_open) == 0
    await page.evaluate(turn, False)
    await until(two_are_open, 15, "both streams are open")
    await expect(page.locator(number("Plays"))).to_have_text(re.compile(r"^\d"))
