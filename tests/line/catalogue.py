"""The catalogue of bad input: one case a line, its bytes, what ingest answers and what becomes of it in the report.

Each case has a partner of its own, so that its counts can be looked up by partner whatever its entryId is.
`plays`, `views` and `buffer_ms` are what the report must show for that partner once everything is counted.
Rows of the catalogue that differ only by time or place (a repeat an hour later, after a worker's death, to another
ingest: 6, 7, 16) send the same bytes as row 5. Floods (108) and trickles (102) need a clock: test_ingest_hardening.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from enum import Enum
from itertools import count

CLOSE = 0


class Outcome(Enum):
    """What becomes of the last request of a case."""

    COUNT = "200, counted"
    DUP = "200, stored, not counted again"
    SEG = "200, counted: another segment of the same session"
    KEEP = "200, stored, in no play, view or buffer time"
    CLAMP = "200, counted, its bad number treated as absent and metered"
    QUAR = "200, stored, dead letter"
    REFUSED = "not 200, nowhere"


@dataclass(frozen=True, slots=True)
class Case:
    """One case.

    Attributes:
        row: number in the catalogue.
        name: what is wrong with it.
        partner: its own partnerId; for rows about partnerId, 0.
        requests: whole requests, sent one after the other, each on its own connection.
        status: of the last answer; CLOSE if there is none.
        outcome: of the last request.
        plays, views, buffer_ms: of the partner, afterwards.
    """

    row: int
    name: str
    partner: int
    requests: tuple[bytes, ...]
    status: int
    outcome: Outcome
    plays: int
    views: int
    buffer_ms: int


_partners = count(900001)
HEAD = b"Host: a\r\nUser-Agent: catalogue\r\n"


def get(query: bytes, path: bytes = b"/api_v3/index.php", headers: bytes = HEAD, version: bytes = b"HTTP/1.1") -> bytes:
    """Return a GET."""
    return b"GET " + path + b"?" + query + b" " + version + b"\r\n" + headers + b"\r\n"


def post(query: bytes, body: bytes, content_type: bytes = b"application/json", headers: bytes = b"") -> bytes:
    """Return a POST."""
    length = b"Content-Type: " + content_type + b"\r\nContent-Length: %d\r\n" % len(body)
    return b"POST /api_v3/index.php?" + query + b" HTTP/1.1\r\n" + HEAD + headers + length + b"\r\n" + body


class Query:
    """A valid play of this case's partner, with parameters replaced, added or left out."""

    def __init__(self, partner: int) -> None:
        self._valid = {
            "service": b"analytics",
            "action": b"trackEvent",
            "eventType": b"3",
            "partnerId": b"%d" % partner,
            "entryId": b"1_catalogue",
            "sessionId": b"session-%d" % partner,
            "eventIndex": b"1",
            "position": b"0",
        }

    def __call__(self, extra: bytes = b"", **changed: bytes | None) -> bytes:
        pairs = {name: value for name, value in (self._valid | changed).items() if value is not None}
        return b"&".join(name.encode() + b"=" + value for name, value in pairs.items()) + extra


CASES: list[Case] = []


def case(
    row: int, name: str, outcome: Outcome, *requests: bytes, status: int = 200, of: int = 0, views: int = 0, ms: int = 0
) -> None:
    """Add a case; the plays follow from the outcome where views are not given."""
    plays = {Outcome.COUNT: 1, Outcome.CLAMP: 1, Outcome.DUP: 1, Outcome.SEG: 2}.get(outcome, 0)
    CASES.append(Case(row, name, of, requests, status, outcome, 0 if views else plays, views, ms))


def play(
    row: int, name: str, outcome: Outcome, extra: bytes = b"", *, headers: bytes = HEAD, **changed: bytes | None
) -> None:
    """Add a case of one GET that is a valid play but for this; `@` stands for the partner."""
    partner = next(_partners)
    query = Query(partner)(extra, **changed).replace(b"@", b"%d" % partner)
    case(row, name, outcome, get(query, headers=headers), of=partner)


def several(row: int, name: str, outcome: Outcome, *changes: dict[str, bytes]) -> None:
    """Add a case of several GETs, each a valid play but for its changes."""
    partner = next(_partners)
    case(row, name, outcome, *(get(Query(partner)(**changed)) for changed in changes), of=partner)


def again(row: int, name: str, outcome: Outcome, **changed: bytes) -> None:
    """Add a case of a valid play, then the same again but for this."""
    several(row, name, outcome, {}, changed)


def view(row: int, name: str, outcome: Outcome, buffer_time: bytes, ms: int = 0) -> None:
    """Add a case of one view event with this bufferTime."""
    partner = next(_partners)
    query = Query(partner)(eventType=b"99", bufferTime=buffer_time)
    case(row, name, outcome, get(query), of=partner, views=1, ms=ms)


def body(
    row: int, name: str, outcome: Outcome, raw: bytes, kind: bytes = b"application/json", head: bytes = b""
) -> None:
    """Add a case of a POST: nothing but the service in the query, `@` in the body replaced by the partner."""
    partner = next(_partners)
    sent = raw.replace(b"@", b"%d" % partner)
    case(row, name, outcome, post(b"service=analytics", sent, kind, head), of=partner)


def refused(row: int, name: str, raw: bytes, status: int = 400) -> None:
    """Add a case that must not be stored."""
    case(row, name, Outcome.REFUSED, raw, status=status)


def index(number: int, event_type: int) -> dict[str, bytes]:
    """Return the changes that make another event of the same session."""
    return {"eventIndex": b"%d" % number, "eventType": b"%d" % event_type}


O = Outcome  # noqa: E741
GZIP = b"Content-Encoding: gzip\r\n"
JSON = b'{"eventType":3,"partnerId":@,"entryId":"1_c","sessionId":"s@","eventIndex":1'
FORM = b"eventType=3&partnerId=@&entryId=1_c&sessionId=s@&eventIndex=1"
REFERRER = b"http%253A%2F%2Fabc%2Ego%2Ecom%2Fshows"

play(1, "a valid play", O.COUNT)
play(2, "the seed's double-encoded referrer", O.COUNT, referrer=REFERRER)
play(3, "an unknown parameter", O.COUNT, x=b"1")
play(4, "spaces as + and as %20", O.COUNT, playbackContext=b"a+b%20c")
again(5, "byte-identical at once", O.DUP)
FORMED = b"application/x-www-form-urlencoded"
partner = next(_partners)
case(
    8,
    "POST after GET with the same parameters",
    O.DUP,
    get(Query(partner)()),
    post(b"", Query(partner)(), FORMED),
    of=partner,
)
again(9, "same index, other entryId", O.SEG, entryId=b"1_other")
again(11, "same index, other position", O.DUP, position=b"9")
again(12, "same index, other sessionStartTime", O.SEG, sessionStartTime=b"1459671407")
several(10, "same index, other eventType", O.COUNT, {"eventType": b"2"}, {"eventType": b"3"})
several(13, "indexes 3, 1, 2", O.COUNT, {"eventIndex": b"3"}, index(1, 1), index(2, 2))
several(14, "index 5 before 4", O.COUNT, {"eventIndex": b"5"}, index(4, 2))
several(15, "a gap: indexes 1, 2, 9", O.COUNT, index(1, 1), index(2, 2), {"eventIndex": b"9"})
play(17, "eventType 10002 without eventIndex", O.KEEP, eventType=b"10002", eventIndex=None)
play(18, "eventType 9999", O.KEEP, eventType=b"9999")
play(19, "eventType empty", O.KEEP, eventType=b"")
play(20, "eventType abc", O.KEEP, eventType=b"abc")
play(21, "eventType 3, and 3 again", O.COUNT, b"&eventType=3")
play(22, "eventType 3, and 99 again: the first counts", O.COUNT, b"&eventType=99")
play(23, "eventType[]", O.KEEP, b"&eventType[]=3", eventType=None)
play(24, "eventIndex -1", O.COUNT, eventIndex=b"-1")
play(25, "eventIndex 0", O.COUNT, eventIndex=b"0")
play(26, "eventIndex 2147483648", O.COUNT, eventIndex=b"2147483648")
play(27, "eventIndex 1e3", O.COUNT, eventIndex=b"1e3")
play(28, "eventIndex 1_000", O.COUNT, eventIndex=b"1_000")
play(29, "eventIndex in Arabic digits", O.COUNT, eventIndex=b"%D9%A3")
play(30, "eventIndex with spaces", O.COUNT, eventIndex=b"+5+")
play(31, "eventIndex of 5,000 nines", O.COUNT, eventIndex=b"9" * 5000)
play(32, "eventIndex NaN", O.COUNT, eventIndex=b"NaN")
play(33, "eventIndex null", O.COUNT, eventIndex=b"null")
play(34, "eventIndex absent", O.COUNT, eventIndex=None)
view(35, "bufferTime -1", O.CLAMP, b"-1")
view(36, "bufferTime NaN", O.CLAMP, b"NaN")
view(37, "bufferTime inf", O.CLAMP, b"inf")
view(38, "bufferTime 1e309", O.CLAMP, b"1e309")
view(39, "bufferTime undefined", O.CLAMP, b"undefined")
view(40, "bufferTime with float noise", O.COUNT, b"0.013999999999999999", 14)
view(41, "bufferTime over the seed's 10", O.COUNT, b"27.071", 27071)
view(42, "bufferTime 999999999", O.CLAMP, b"999999999")
view(43, "bufferTime 10,5", O.CLAMP, b"10,5")
view(44, "bufferTime 0x10", O.CLAMP, b"0x10")
case(45, "partnerId 0", O.QUAR, get(Query(0)()))
case(46, "partnerId -5", O.QUAR, get(Query(-5)()))
play(47, "partnerId with a space after it", O.COUNT, partnerId=b"@+")
body(48, "partnerId as a JSON number", O.COUNT, JSON + b"}")
case(49, "partnerId absent", O.QUAR, get(Query(0)(partnerId=None)))
case(50, "partnerId with SQL", O.QUAR, get(Query(0)(partnerId=b"%27+OR+1=1--")))
play(51, "partnerId unknown but numeric", O.COUNT)
play(52, "sessionId empty", O.COUNT, sessionId=b"")
play(53, "sessionId with a colon as %3A", O.COUNT, sessionId=b"a%3Ab")
play(54, "sessionId of 10 kB", O.QUAR, sessionId=b"s" * 10_000)
play(55, "sessionId absent", O.COUNT, sessionId=None)
play(56, "entryId with a script", O.COUNT, entryId=b"%3Cscript%3Ealert(1)%3C/script%3E")
play(57, "entryId with a formula", O.COUNT, entryId=b"=HYPERLINK(%22x%22)")
play(58, "entryId with a path", O.COUNT, entryId=b"../../etc/passwd")
play(59, "entryId with a header", O.COUNT, entryId=b"1_%0d%0aSet-Cookie:x")
several(60, "entryId NFC and NFD are two", O.SEG, {"entryId": b"%C3%A9"}, {"entryId": b"e%CC%81"})
play(61, "entryId in full width", O.COUNT, entryId="ＡＢＣ".encode().hex("%").upper().join(("%", "")).encode())
play(62, "entryId with a zero-width joiner", O.COUNT, entryId=b"a%E2%80%8Db")
play(63, "entryId with an RTL override", O.COUNT, entryId=b"a%E2%80%AEb")
play(64, "a value with %00", O.COUNT, customVar1=b"a%00b")
several(65, "sessionId %ff and %fe are two sessions", O.SEG, {"sessionId": b"%ff"}, {"sessionId": b"%fe"})
play(66, "entryId %c0%af", O.COUNT, entryId=b"%c0%af")
play(67, "entryId %ed%a0%80", O.COUNT, entryId=b"%ed%a0%80")
play(68, "entryId of a cut character", O.COUNT, entryId=b"%E2%82")
play(69, "a value with %ZZ", O.COUNT, customVar1=b"%ZZ")
play(70, "a trailing %", O.COUNT, b"&customVar1=%")
play(71, "a value with %u0041", O.COUNT, customVar1=b"%u0041")
refused(72, "raw UTF-8 in the query", get("x=é".encode()))
refused(73, "raw NUL in the query", get(b"x=\x00"))
refused(74, "raw space in the query", get(b"x=a b"))
refused(75, "raw CR in the query", get(b"x=a\rb"))
play(76, "byte 0xE9 in the User-Agent", O.COUNT, headers=b"Host: a\r\nUser-Agent: caf\xe9\r\n")
refused(77, "byte 0x7f in the Referer", get(b"x=1", headers=HEAD + b"Referer: a\x7f\r\n"))
refused(77, "byte 0x01 in the Referer", get(b"x=1", headers=HEAD + b"Referer: a\x01\r\n"))
play(78, "a User-Agent of 4 kB", O.COUNT, headers=b"Host: a\r\nUser-Agent: " + b"u" * 4096 + b"\r\n")
play(79, "sessionStartTime in ms", O.COUNT, sessionStartTime=b"1435075182567")
play(80, "sessionStartTime in the year 2100", O.COUNT, sessionStartTime=b"4102444800")
play(81, "sessionStartTime null", O.COUNT, sessionStartTime=b"null")
play(82, "a client time an hour ahead", O.COUNT, time=b"4102444800")
play(83, "a client time a year old", O.COUNT, time=b"1")
play(84, "a client time that is negative", O.COUNT, time=b"-1", date=b"-1")
play(85, "a query of 8,100 bytes", O.COUNT, customVar1=b"x" * 7900)
play(86, "a query of 8,300 bytes", O.COUNT, customVar1=b"x" * 8100)
refused(87, "a query of 20 kB", get(b"x=" + b"x" * 20_000))
play(88, "1,000 parameters", O.COUNT, b"&a=1" * 1000)
refused(89, "10,000 parameters in a POST", post(b"", b"a=1&" * 10_000, b"application/x-www-form-urlencoded"), 413)
play(90, "a name of 4 kB", O.COUNT, b"&" + b"n" * 4096 + b"=1")
body(91, "JSON that ends early", O.QUAR, b"{")
body(92, "JSON that is a list", O.QUAR, b"[1,2]")
body(93, "JSON nested 100,000 deep", O.QUAR, b'{"a":' + b"[" * 100_000)
body(94, "JSON with a key twice: the last counts", O.COUNT, JSON + b',"eventType":99,"eventType":3}')
body(95, "JSON NaN in position", O.QUAR, JSON + b',"position":NaN}')
body(95, "JSON lone surrogate", O.QUAR, JSON + b',"x":"\\ud800"}')
body(95, "JSON 2^70 in position", O.COUNT, JSON + b',"position":1180591620717411303424}')
body(96, "JSON in UTF-16", O.QUAR, '{"eventType":3}'.encode("utf-16"))
body(97, "JSON after a byte order mark", O.COUNT, b"\xef\xbb\xbf" + JSON + b"}")
body(98, "a form with a bogus charset", O.COUNT, FORM, b"application/x-www-form-urlencoded; charset=bogus")
body(99, "multipart without a boundary", O.QUAR, b"--x\r\n\r\na\r\n--x--", b"multipart/form-data")
refused(100, "gzip that is none", post(b"", b"rubbish", headers=GZIP))
refused(100, "gzip that ends early", post(b"", gzip.compress(FORM, mtime=0)[:-9], headers=GZIP))
refused(101, "a gzip bomb of 50 MB", post(b"", gzip.compress(bytes(50_000_000), mtime=0), headers=GZIP), 413)
refused(102, "a body of 2 MiB", post(b"", b"x" * (2 << 20)), 413)
T = b"POST /collect HTTP/1.1\r\nHost: a\r\n"
TAIL = b"GET /collect?smuggled=1 HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
refused(103, "Content-Length and Transfer-Encoding", T + b"Content-Length: 6\r\n" + CHUNKED + b"0\r\n\r\n" + TAIL)
refused(103, "two Content-Lengths", T + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n" + TAIL)
refused(103, "Content-Length with a sign", T + b"Content-Length: +5\r\n\r\nabcde" + TAIL)
refused(103, "Transfer-Encoding xchunked", T + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + TAIL)
refused(103, "a chunk size with an underscore", T + CHUNKED + b"0_2e\r\nabc\r\n0\r\n\r\n" + TAIL)
refused(103, "a folded header", T + b"X: a\r\n b\r\n\r\n" + TAIL)
refused(103, "a space before the colon", T + b"X : a\r\n\r\n" + TAIL)
refused(103, "two Hosts", b"GET /collect HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + TAIL)
refused(103, "no Host", b"GET /collect HTTP/1.1\r\n\r\n" + TAIL)
refused(103, "a bare LF", b"GET /collect HTTP/1.1\nHost: a\n\n" + TAIL)
refused(103, "200 headers", b"GET /collect HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 200 + b"\r\n" + TAIL)
refused(104, "HTTP/0.9", b"GET /collect\r\n\r\n")
refused(104, "HTTP/1.9", b"GET /collect HTTP/1.9\r\nHost: a\r\n\r\n")
refused(104, "HTTP/2 without asking", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
refused(104, "TLS on the plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32))
play(104, "an offer of h2c is ignored", O.COUNT, headers=HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\n")
refused(105, "HEAD", b"HEAD /collect HTTP/1.1\r\nHost: a\r\n\r\n", 405)
refused(105, "PUT", b"PUT /collect HTTP/1.1\r\nHost: a\r\n\r\n", 405)
refused(105, "TRACE", b"TRACE /collect HTTP/1.1\r\nHost: a\r\n\r\n", 405)
refused(105, "CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 404)
refused(105, "get in small letters", b"get /collect HTTP/1.1\r\nHost: a\r\n\r\n")
refused(105, "OPTIONS", b"OPTIONS /collect HTTP/1.1\r\nHost: a\r\n\r\n", 204)
refused(106, "//collect", get(b"x=1", b"//collect"), 404)
refused(106, "/collect/", get(b"x=1", b"/collect/"), 404)
refused(106, "/x/../collect", get(b"x=1", b"/x/../collect"), 404)
partner = next(_partners)
case(106, "an absolute URI", O.COUNT, get(Query(partner)(), b"http://a/collect"), of=partner)
play(106, "service=stats", O.KEEP, service=b"stats")
play(107, "a callback that is a script", O.COUNT, callback=b"alert(1)//")
play(107, "a callback that is a name", O.COUNT, callback=b"kapi_1")
