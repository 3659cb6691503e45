"""Events as a message of mail, handed to a relay over SMTP, encrypted if that can be."""

from __future__ import annotations

import smtplib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from ssl import create_default_context

from bascule.model.errors import Refused, Unavailable
from bascule.model.vault.signs.alerts import AlertSettings
from bascule.model.vault.signs.event import Event, Health

_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Relay:
    """Who takes mail from us: HOST:PORT, empty for nobody."""

    server: str = ""
    sender: str = "bascule@localhost"
    user: str = ""
    password: str = field(default="", repr=False)


def mailed(relay: Relay, settings: AlertSettings, events: tuple[Event, ...]) -> None:
    """Hand one message over, to all mailboxes."""
    if not relay.server:
        raise Refused(
            "this server knows nobody who takes mail", cure="set BASCULE_SMTP to HOST:PORT and start it again"
        )
    host, _, port = relay.server.rpartition(":")
    try:
        with smtplib.SMTP(host, int(port), timeout=_SECONDS) as line:
            line.ehlo()
            if line.has_extn("starttls"):
                line.starttls(context=create_default_context())
                line.ehlo()
            if relay.user:
                line.login(relay.user, relay.password)
            line.send_message(message(relay.sender, settings, events))
    except smtplib.SMTPResponseException as error:
        said = (
            f"{relay.server} did not take mail for {settings.vault}: {error.smtp_code} {error.smtp_error!r}"
        )
        kind = Refused if error.smtp_code >= 500 else Unavailable
        raise kind(said, cure="see what it wants of us") from error
    except (OSError, ValueError, smtplib.SMTPException) as error:
        raise Unavailable(
            f"{relay.server} does not take mail for {settings.vault}: {error}", cure="see that it is reached"
        ) from error


def message(sender: str, settings: AlertSettings, events: tuple[Event, ...]) -> EmailMessage:
    """Return a message that tells of events, the oldest first."""
    made = EmailMessage()
    worst = next((h for h in (Health.CRITICAL, Health.WARNING) if h in {e.health for e in events}), "over")
    made["Subject"] = f"[{settings.vault}] {worst}: {len(events)} event{'s' if len(events) > 1 else ''}"
    made["From"], made["To"] = sender, ", ".join(settings.mailboxes)
    made.set_content("\n\n".join(map(_paragraph, events)) + "\n")
    return made


def _paragraph(event: Event) -> str:
    at = datetime.fromtimestamp(event.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    cure = f"\n  what to do: {event.cure}" if event.cure else ""
    return f"{at}  {event.health}  {event.subject}  {event.code}\n  {event.message}{cure}"
