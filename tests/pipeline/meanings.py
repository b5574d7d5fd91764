"""What requests mean to the pipeline: the catalogue of inputs from the side of identity and amounts, one case a line.

The same catalogue from the socket to the report, with the answers of ingest, is tests/line/catalogue.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import parse_qsl

ANALYTICS = "service=analytics&action=trackEvent"
# A valid beacon's parameters: the seed's play event.
PLAY = (
    "eventType=3&partnerId=4242&entryId=1_x&sessionId=5a2e6b3c&eventIndex=3"
    "&sessionStartTime=1459671407&position=0.5&clientVer=2.45"
)
VIEW = PLAY.replace("eventType=3", "eventType=99").replace("eventIndex=3", "eventIndex=4")
INDEX_PHP = "/api_v3/index.php"
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
TEXT = "text/plain;charset=UTF-8"


class Outcome(Enum):
    """What becomes of a request that was answered 200."""

    COUNT = "counted"
    CLAMP = "counted, the bad number as absent, metered"
    DUP = "the same event as the base beacon: stored, not counted again"
    SEG = "another event than the base beacon: counted too"
    KEEP = "stored, in no metric"
    QUAR = "written to `rejected`, not counted"


@dataclass(frozen=True, slots=True)
class Case:
    """One request.

    Attributes:
        row: its row in catalogue C.
        name: what is odd about it.
        outcome: what the pipeline makes of it.
        query: as it stands in the request line, after the question mark.
        status: ingest's answer.
        counts: what one sighting adds, by metric.
        reason: the dead letter's, for QUAR.
        bad: parameters metered as no number.
        entry: the entry id that rows show, for COUNT.
    """

    row: int
    name: str
    outcome: Outcome
    query: str = f"{ANALYTICS}&{PLAY}"
    method: str = "GET"
    path: str = INDEX_PHP
    content_type: str = ""
    body: bytes = b""
    status: int = 200
    counts: dict[str, int] = field(default_factory=lambda: {"plays": 1})
    reason: str = ""
    bad: tuple[str, ...] = ()
    entry: str = "1_x"

    @property
    def target(self) -> str:
        """Return the request target, query included."""
        return f"{self.path}?{self.query}" if self.query else self.path


def changed(base: str = PLAY, **values: str | None) -> str:
    """Return an analytics query with these parameters' raw text replaced, added, or (None) left out."""
    pairs = dict(pair.split("=", 1) for pair in base.split("&"))
    for name, value in values.items():
        if value is None:
            pairs.pop(name, None)
        else:
            pairs[name] = value
    return ANALYTICS + "".join(f"&{name}={value}" for name, value in pairs.items())


def as_json(query: str, **typed: str) -> bytes:
    """Return the parameters of a query as a JSON object; `typed` values stand in it as they are."""
    from json import dumps

    values = {name: dumps(value) for name, value in parse_qsl(query, keep_blank_values=True)} | typed
    return ("{" + ",".join(f"{dumps(name)}:{value}" for name, value in values.items()) + "}").encode()


BASE = Case(1, "a play as the seed sends it", Outcome.COUNT)
_SEED_REFERRER = "http%253A%252F%252Fwww.kaltura.com%252Ftest%253Fa%253Db"
_COUNT, _CLAMP, _DUP, _SEG, _KEEP, _QUAR = Outcome
_BUFFERED = {"views": 1, "bufferTime": 27_071}


def _get(row: int, name: str, outcome: Outcome, counts: dict[str, int], base: str, **values: str) -> Case:
    return Case(row, name, outcome, changed(base, **values), counts=counts)


def _play(row: int, name: str, outcome: Outcome, bad: tuple[str, ...] = (), **values: str | None) -> Case:
    return Case(row, name, outcome, changed(PLAY, **values), bad=bad)


def _entry(row: int, name: str, raw: str, shown: str) -> Case:
    return Case(row, name, _COUNT, changed(entryId=raw), entry=shown)


def _kept(row: int, name: str, **values: str | None) -> Case:
    return Case(row, name, _KEEP, changed(PLAY, **values), counts={})


def _clamped(row: int, text: str) -> Case:
    return Case(
        row,
        f"bufferTime {text}",
        _CLAMP,
        changed(VIEW, bufferTime=text),
        counts={"views": 1},
        bad=("bufferTime",),
    )


def _refused(row: int, name: str, reason: str, **values: str | None) -> Case:
    return Case(row, name, _QUAR, changed(PLAY, **values), counts={}, reason=reason)


def _post(row: int, name: str, outcome: Outcome, content_type: str, body: bytes, **rest: object) -> Case:
    known = {"query": ANALYTICS, "method": "POST", "content_type": content_type, "body": body} | rest
    return Case(row, name, outcome, **known)  # type: ignore[arg-type]


def _quarantined(row: int, name: str, body: bytes, content_type: str = JSON) -> Case:
    query = changed(PLAY, eventIndex=None, sessionStartTime=None)
    return _post(row, name, _QUAR, content_type, body, query=query, counts={}, reason="unreadable_body")


CASES: tuple[Case, ...] = (
    BASE,
    _play(2, "the seed's double-encoded referrer", _DUP, referrer=_SEED_REFERRER),
    _play(3, "an unknown parameter", _DUP, x="1"),
    Case(4, "+ in an entry id", _COUNT, changed(entryId="a+b"), entry="a b"),
    Case(4, "%20 in an entry id", _COUNT, changed(entryId="a%20b"), entry="a b"),
    Case(5, "the same bytes again", _DUP),
    _post(8, "the same as a form", _DUP, FORM, PLAY.encode()),
    _post(8, "the same as JSON", _DUP, JSON, as_json(PLAY)),
    _post(
        8,
        "the same as JSON, numbers as numbers",
        _DUP,
        JSON,
        as_json(PLAY, eventIndex="3", eventType="3", partnerId="4242", sessionStartTime="1459671407"),
    ),
    _post(8, "the same as JSON labelled text", _DUP, TEXT, as_json(PLAY)),
    _play(9, "another entry", _SEG, entryId="1_y"),
    _get(10, "another event type", _SEG, {"views": 1}, PLAY, eventType="99"),
    _play(11, "another position only", _DUP, position="7.25"),
    _play(12, "another sessionStartTime", _SEG, sessionStartTime="1459671999"),
    _kept(17, "eventType 10002 without an index", eventType="10002", eventIndex=None),
    _kept(18, "eventType 9999", eventType="9999"),
    _kept(19, "eventType empty", eventType=""),
    _kept(20, "eventType abc", eventType="abc"),
    Case(21, "eventType given twice", _DUP, f"{ANALYTICS}&{PLAY}&eventType=3"),
    Case(22, "eventType 3, then 99: the first counts", _DUP, f"{ANALYTICS}&{PLAY}&eventType=99"),
    Case(23, "eventType[]", _KEEP, f"{ANALYTICS}&{PLAY}".replace("eventType=", "eventType[]="), counts={}),
    _play(24, "eventIndex -1", _SEG, ("eventIndex",), eventIndex="-1"),
    _play(25, "eventIndex 0", _SEG, eventIndex="0"),
    _play(26, "eventIndex 2147483648", _SEG, eventIndex="2147483648"),
    _play(27, "eventIndex 1e3", _SEG, ("eventIndex",), eventIndex="1e3"),
    _play(28, "eventIndex 1_000", _SEG, ("eventIndex",), eventIndex="1_000"),
    _play(29, "eventIndex in Arabic digits", _SEG, ("eventIndex",), eventIndex="%D9%A3"),
    _play(30, "eventIndex with spaces", _SEG, ("eventIndex",), eventIndex="+5%20"),
    _play(31, "eventIndex of 5,000 nines", _SEG, ("eventIndex",), eventIndex="9" * 5000),
    _play(32, "eventIndex NaN", _SEG, ("eventIndex",), eventIndex="NaN"),
    _play(33, "eventIndex null", _SEG, ("eventIndex",), eventIndex="null"),
    _play(34, "no eventIndex", _SEG, eventIndex=None),
    _clamped(35, "-1"),
    _clamped(36, "NaN"),
    _clamped(37, "inf"),
    _clamped(38, "1e309"),
    _clamped(39, "undefined"),
    _get(
        40,
        "bufferTime with float noise",
        _COUNT,
        {"views": 1, "bufferTime": 14},
        VIEW,
        bufferTime="0.013999999999999999",
    ),
    _get(41, "bufferTime over 10 s", _COUNT, _BUFFERED, VIEW, bufferTime="27.071"),
    _clamped(42, "999999999"),
    _clamped(43, "10,5"),
    _clamped(43, "10%2C5"),
    _clamped(44, "0x10"),
    _refused(45, "partnerId 0", "bad_partner", partnerId="0"),
    _refused(46, "partnerId -5", "bad_partner", partnerId="-5"),
    _play(47, "partnerId with %20 behind", _DUP, partnerId="4242%20"),
    _play(47, "partnerId with + before", _DUP, partnerId="+4242"),
    _post(48, "partnerId as a JSON number", _DUP, JSON, as_json(PLAY, partnerId="4242")),
    _refused(49, "no partnerId", "bad_partner", partnerId=None),
    _refused(50, "partnerId ' OR 1=1--", "bad_partner", partnerId="'%20OR%201=1--"),
    _play(51, "a partner nobody knows", _SEG, partnerId="987654321"),
    _play(52, "an empty sessionId", _SEG, sessionId=""),
    _play(53, "sessionId with %3A", _SEG, sessionId="a%3Ab"),
    _refused(54, "sessionId of 10 kB", "long_session", sessionId="s" * 10_000),
    _play(55, "no sessionId", _SEG, sessionId=None),
    _entry(56, "entryId with markup", "%3Cscript%3Ealert(1)%3C/script%3E", "<script>alert(1)</script>"),
    _entry(57, "entryId as a formula", "=HYPERLINK(%22x%22)", '=HYPERLINK("x")'),
    _entry(58, "entryId as a path", "../../etc/passwd", "../../etc/passwd"),
    _entry(59, "entryId with a line break", "1_%0d%0aSet-Cookie:x", "1_\r\nSet-Cookie:x"),
    _entry(60, "entryId é, composed", "%C3%A9", "\u00e9"),
    _entry(60, "entryId é, decomposed", "e%CC%81", "e\u0301"),
    _entry(61, "entryId in full width", "%EF%BC%A1%EF%BC%A2%EF%BC%A3", "\uff21\uff22\uff23"),
    _entry(62, "entryId with a zero-width joiner", "a%E2%80%8Db", "a\u200db"),
    _entry(63, "entryId with an RTL override", "a%E2%80%AEb", "a\u202eb"),
    _refused(63, "entryId of 65 bytes", "long_entry", entryId="e" * 65),
    _entry(64, "NUL in an entry id", "a%00b", "a\0b"),
    _entry(65, "a byte that is no UTF-8", "a%ffb", "a\\xffb"),
    _entry(66, "an overlong form", "%c0%af", "\\xc0\\xaf"),
    _entry(67, "a surrogate in UTF-8", "%ed%a0%80", "\\xed\\xa0\\x80"),
    _entry(68, "a truncated sequence", "%E2%82", "\\xe2\\x82"),
    _entry(69, "%ZZ is no escape", "%ZZ", "%ZZ"),
    _entry(70, "a trailing percent sign", "1%", "1%"),
    _entry(71, "%u0041 is no escape", "%u0041", "%u0041"),
    _play(79, "sessionStartTime in ms", _SEG, sessionStartTime="1459671407000"),
    _play(80, "sessionStartTime in 2100", _SEG, sessionStartTime="4102444800"),
    _play(81, "sessionStartTime null", _SEG, sessionStartTime="null"),
    _play(82, "the client's time an hour ahead", _DUP, time="1459675007"),
    _play(83, "the client's time a year old", _DUP, time="1428135407"),
    _play(84, "the client's time negative", _DUP, time="-1"),
    _play(85, "a query of 8,100 bytes", _DUP, x="x" * 7_900),
    _play(86, "a query of 8,300 bytes", _DUP, x="x" * 8_100),
    Case(88, "1,000 parameters", _DUP, f"{ANALYTICS}&{PLAY}&" + "&".join(f"p{n}=1" for n in range(980))),
    _play(90, "a name of 4 kB", _DUP, **{"n" * 4096: "1"}),
    _quarantined(91, "JSON cut off", b"{"),
    _quarantined(92, "JSON array", b"[1,2]"),
    _quarantined(93, "JSON nested 100,000 deep", b"[" * 100_000),
    _post(
        94, "JSON with a name twice: the last counts", _DUP, JSON, as_json(PLAY).replace(b"{", b'{"eventIndex":9,', 1)
    ),
    _quarantined(95, "JSON NaN", b'{"position":NaN}'),
    _quarantined(95, "JSON with a lone surrogate", b'{"x":"\\ud800"}'),
    _post(95, "2^70 in a JSON position", _DUP, JSON, as_json(PLAY, position=str(2**70))),
    _quarantined(96, "JSON in UTF-16", '{"eventIndex":3}'.encode("utf-16")),
    _post(97, "JSON behind a byte order mark", _DUP, JSON, b"\xef\xbb\xbf" + as_json(PLAY)),
    _post(98, "a form in a charset nobody knows", _DUP, FORM + "; charset=bogus", PLAY.encode()),
    _post(99, "multipart without boundary", _DUP, "multipart/form-data", b"--x", query=changed(PLAY)),
    Case(106, "service=stats", _KEEP, changed(PLAY).replace("analytics", "stats"), counts={}),
    Case(106, "/collect without a service", _DUP, PLAY, path="/collect"),
    Case(106, "/collect of another service", _KEEP, f"service=stats&{PLAY}", path="/collect", counts={}),
    Case(106, "index.php without a service", _KEEP, PLAY, counts={}),
    _play(107, "JSONP", _DUP, callback="kapi_1", format="9"),
    _play(109, "%33 is a 3", _DUP, eventType="%33", eventIndex="%33", partnerId="%34242"),
    Case(109, "an encoded name", _DUP, f"{ANALYTICS}&{PLAY}".replace("eventIndex", "event%49ndex")),
    _post(109, "the body's value wins", _DUP, JSON, b'{"eventIndex":3}', query=changed(eventIndex="8")),
    Case(109, "the first sessionId counts", _DUP, f"{ANALYTICS}&{PLAY}&sessionId=other"),
    _get(109, "bufferTime of a play is not the line's", _COUNT, {"plays": 1}, PLAY, bufferTime="3.5", entryId="z"),
)
