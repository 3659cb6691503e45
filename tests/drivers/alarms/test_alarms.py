"""Mail over a real line of SMTP, and posts to a real server of HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from bascule.drivers.alarms.alarms import SystemAlarms
from bascule.drivers.alarms.mail import Relay
from bascule.model.errors import Refused, Unavailable
from bascule.model.vault.signs.alerts import AlertSettings, Way
from bascule.model.vault.signs.event import Event, Health
from tests.servers.mail import MailServer

EVENTS = (
    Event("north", 1_800_000_000.0, "web-1", "153007", Health.CRITICAL, "no new point", "see the host", 1),
    Event("north", 1_800_000_060.0, "web-1", "153007", Health.HEALTHY, "over: no new point", "", 2),
)


class Taker(BaseHTTPRequestHandler):
    """Takes what is posted, or answers with a number of its path."""

    taken: list[bytes]

    def do_POST(self) -> None:
        self.taken.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(int(self.path.strip("/") or 200))
        self.send_header("Location", "/200")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.taken.append(b"somebody was followed")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def taker() -> Iterator[tuple[str, list[bytes]]]:
    Taker.taken = []
    with HTTPServer(("127.0.0.1", 0), Taker) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", Taker.taken
        server.shutdown()


def test_one_message_goes_to_all_mailboxes_and_says_what_to_do() -> None:
    settings = AlertSettings("north", ("anna@example.org", "otto@example.org"))
    with MailServer() as mail:
        SystemAlarms(Relay(mail.address, "vault@example.org")).tell(Way.MAIL, settings, EVENTS)
        [message], [recipients] = mail.messages, mail.recipients
    assert (message["Subject"], message["From"]) == ("[north] critical: 2 events", "vault@example.org")
    assert recipients == list(settings.mailboxes)
    text = message.get_payload()
    assert "2027-01-15 08:00:00 UTC  critical  web-1  153007" in text
    assert "what to do: see the host" in text


@pytest.mark.parametrize(("said", "kind"), [(b"450 later", Unavailable), (b"550 never", Refused)])
def test_a_relay_that_does_not_take_mail_is_asked_again_if_it_says_later(
    said: bytes, kind: type[Exception]
) -> None:
    with MailServer(refusal=said) as mail, pytest.raises(kind, match="did not take mail for north"):
        SystemAlarms(Relay(mail.address)).tell(Way.MAIL, AlertSettings("north", ("a@b",)), EVENTS)


def test_who_takes_mail_has_to_be_known_and_to_be_there() -> None:
    with pytest.raises(Refused, match="knows nobody who takes mail"):
        SystemAlarms(Relay()).tell(Way.MAIL, AlertSettings("north", ("a@b",)), EVENTS)
    with MailServer() as mail:
        pass
    with pytest.raises(Unavailable, match="does not take mail"):
        SystemAlarms(Relay(mail.address)).tell(Way.MAIL, AlertSettings("north", ("a@b",)), EVENTS)


def test_events_are_posted_with_every_field(taker: tuple[str, list[bytes]]) -> None:
    address, taken = taker
    SystemAlarms(Relay()).tell(Way.HOOK, AlertSettings("north", hook=f"{address}/200"), EVENTS)
    [body] = taken
    document = json.loads(body)
    assert document["vault"] == "north"
    assert [event["number"] for event in document["events"]] == [1, 2]
    assert document["events"][0]["cure"] == "see the host"


@pytest.mark.parametrize(
    ("answer", "kind"), [(302, Refused), (404, Refused), (429, Unavailable), (503, Unavailable)]
)
def test_an_answer_that_is_no_yes_is_an_error_and_leads_nowhere_else(
    taker: tuple[str, list[bytes]], answer: int, kind: type[Exception]
) -> None:
    address, taken = taker
    with pytest.raises(kind, match=f"answered {answer}"):
        SystemAlarms(Relay()).tell(Way.HOOK, AlertSettings("north", hook=f"{address}/{answer}"), EVENTS)
    assert len(taken) == 1


@pytest.mark.parametrize(
    ("mailboxes", "hook"),
    [(("nobody",), ""), (("a@b\nBcc: c@d",), ""), ((), "file:///etc/passwd"), ((), "https://u:p@host/")],
)
def test_what_is_no_mailbox_and_no_address_is_refused(mailboxes: tuple[str, ...], hook: str) -> None:
    with pytest.raises(Refused, match="is no "):
        AlertSettings("north", mailboxes, hook)
