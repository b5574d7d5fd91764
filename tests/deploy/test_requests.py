"""Each generation of players sends the same event in its own way."""

from __future__ import annotations

from deploy.players.requests import Client, Request, request_of

EVENT = {"eventType": 99, "partnerId": "42", "entryId": "1_x", "sessionId": "a:b", "eventIndex": 4, "position": 0}


def test_kava_by_get_puts_everything_into_the_query() -> None:
    assert request_of(Client.KAVA_GET, EVENT) == Request(
        "GET",
        "/api_v3/index.php?service=analytics&action=trackEvent&apiVersion=3.3.0&format=1&clientTag=html5%3Av0.15.1"
        "&eventType=99&partnerId=42&entryId=1_x&sessionId=a%3Ab&eventIndex=4&position=0",
    )


def test_kava_by_post_asks_first_and_leaves_the_address_in_the_query() -> None:
    request = request_of(Client.KAVA_POST, EVENT)

    assert request.preflight
    assert request == Request(
        "POST",
        "/api_v3/index.php?service=analytics&action=trackEvent&eventType=99&partnerId=42&entryId=1_x&sessionId=a%3Ab",
        "application/json",
        b'{"apiVersion": "3.3.0", "format": 1, "clientTag": "html5:v3.17.95", "eventIndex": 4, "position": 0}',
    )


def test_kanalony_puts_all_but_the_service_into_a_form() -> None:
    request = request_of(Client.KANALONY_FORM, EVENT)

    assert not request.preflight
    assert request == Request(
        "POST",
        "/api_v3/index.php?service=analytics",
        "application/x-www-form-urlencoded",
        b"action=trackEvent&apiVersion=3.3.0&format=1&clientTag=kwidget%3Av2.98"
        b"&eventType=99&partnerId=42&entryId=1_x&sessionId=a%3Ab&eventIndex=4&position=0",
    )
