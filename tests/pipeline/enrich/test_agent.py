"""Agents and pages as their makers write them, each with what a person says that it is."""

from __future__ import annotations

import pytest

from pipeline.enrich.agent import read_agent
from pipeline.enrich.referrer import read_referrer

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
SAFARI = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
CHROME = f"{WEBKIT} Chrome/126.0.0.0"


@pytest.mark.parametrize(
    ("agent", "device", "system", "browser"),
    [
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36", "desktop", "Windows", "Chrome"),
        (
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36 Edg/126.0.0.0",
            "desktop",
            "Windows",
            "Edge",
        ),
        ("Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko", "desktop", "Windows", "IE"),
        (
            f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {SAFARI} Version/17.5 Safari/605.1.15",
            "desktop",
            "Mac OS X",
            "Safari",
        ),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0", "desktop", "Linux", "Firefox"),
        (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {CHROME} Safari/537.36", "desktop", "Chrome OS", "Chrome"),
        (
            f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {CHROME} Mobile Safari/537.36",
            "mobile",
            "Android",
            "Chrome Mobile",
        ),
        (
            f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {SAFARI} Version/17.5 Mobile/15E148 Safari/604.1",
            "mobile",
            "iOS",
            "Mobile Safari",
        ),
        (
            f"Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) {SAFARI} Version/16.6 Mobile/15E148 Safari/604.1",
            "tablet",
            "iOS",
            "Mobile Safari",
        ),
        # No word says that it is a tablet: that it does not say Mobile does.
        (f"Mozilla/5.0 (Linux; Android 13; Lenovo TB350FU) {CHROME} Safari/537.36", "tablet", "Android", "Chrome"),
        (
            f"Mozilla/5.0 (SMART-TV; Linux; Tizen 6.5) {WEBKIT} Version/6.5 TV Safari/537.36",
            "tv",
            "Tizen",
            None,
        ),
        (
            f"Mozilla/5.0 (Linux; Android 9; AFTMM Build/PS7624) {CHROME} Mobile Safari/537.36",
            "tv",
            "Android",
            "Chrome Mobile",
        ),
        (f"Mozilla/5.0 (PlayStation; PlayStation 5/8.20) {SAFARI} Version/13.0 Safari/605.1.15", "console", None, None),
        (
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox One) {CHROME} Safari/537.36 Edge/44.18363.8131",
            "console",
            "Windows",
            "Edge",
        ),
        (
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "bot",
            None,
            "Googlebot",
        ),
        (f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} HeadlessChrome/126.0.0.0 Safari/537.36", "bot", "Linux", None),
        ("curl/8.5.0", "bot", None, None),
        ("", "unknown", "unknown", "unknown"),
        ("something that nobody knows", "unknown", "unknown", "unknown"),
    ],
)
def test_an_agent_is_what_its_makers_say(agent: str, device: str, system: str | None, browser: str | None) -> None:
    found = read_agent(agent)
    assert found["device"] == device
    assert system in (None, found["operatingSystem"])
    assert browser in (None, found["browser"])
    assert found["bot"] == ("yes" if device == "bot" else "no")


@pytest.mark.parametrize(
    ("referrer", "domain", "page"),
    [
        ("https://video.example/watch?v=1#top", "video.example", "video.example/watch"),
        ("http://VIDEO.Example", "video.example", "video.example/"),
        ("https://video.example.:8443/a/b/", "video.example", "video.example/a/b/"),
        # kAnalony's, still encoded once more (protocol.md section 3).
        ("https%3A%2F%2Fvideo.example%2Fwatch%3Fv%3D1", "video.example", "video.example/watch"),
        ("https://user:secret@video.example/x", "video.example", "video.example/x"),
        ("https://[2001:db8::1]/x", "2001:db8::1", "2001:db8::1/x"),
        ("https://[broken/x", "unknown", "unknown"),
        ("android-app://com.example.app/", "unknown", "unknown"),
        ("about:blank", "unknown", "unknown"),
        ("watch.html", "unknown", "unknown"),
        ("", "unknown", "unknown"),
    ],
)
def test_a_page_is_host_and_path_in_whatever_way_it_came(referrer: str, domain: str, page: str) -> None:
    assert read_referrer(referrer) == {"domain": domain, "page": page}
