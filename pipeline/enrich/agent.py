"""Device, operating system, browser and bot of a User-Agent, by maintained tables (ua-parser, crawler-user-agents)."""

from __future__ import annotations

import crawleruseragents
from ua_parser import parse

UNKNOWN = "unknown"
_TABLETS = ("ipad", "tablet", "kindle", "nexus 7", "nexus 9", "nexus 10", "sm-t")
_TVS = ("tv", "roku", "chromecast", "firetv", "aft", "bravia", "viera", "hbbtv")
_CONSOLES = ("playstation", "xbox", "nintendo")
_DESKTOPS = ("Windows", "Mac OS X", "Linux", "Ubuntu", "Chrome OS", "Fedora", "Debian", "FreeBSD")
_MOBILES = ("Android", "iOS", "Windows Phone", "BlackBerry OS", "KaiOS", "Tizen", "HarmonyOS")


def read_agent(agent: str) -> dict[str, str]:
    """Return the four dimensions of an agent; what the tables do not know is `unknown`."""
    if not agent:
        return dict.fromkeys(("device", "operatingSystem", "browser"), UNKNOWN) | {"bot": "no"}
    parsed = parse(agent)
    system = parsed.os.family if parsed.os else UNKNOWN
    is_bot = crawleruseragents.is_crawler(agent) or (parsed.device is not None and parsed.device.family == "Spider")
    return {
        "device": "bot" if is_bot else _device(agent.lower(), system),
        "operatingSystem": system,
        "browser": parsed.user_agent.family if parsed.user_agent else UNKNOWN,
        "bot": "yes" if is_bot else "no",
    }


def _device(lower: str, system: str) -> str:
    if any(word in lower for word in _CONSOLES):
        return "console"
    if any(word in lower for word in _TVS):
        return "tv"
    # An Android tablet is the one whose agent does not say Mobile (its makers' rule).
    if any(word in lower for word in _TABLETS) or (system == "Android" and "mobile" not in lower):
        return "tablet"
    if system in _MOBILES:
        return "mobile"
    return "desktop" if system in _DESKTOPS else UNKNOWN
