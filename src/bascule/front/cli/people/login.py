"""``bascule login``, ``logout``: from an address and a proof of who we are to a profile that works.

Order: see whom the server is known by, and let a person agree; prove who we are; only then keep anything.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from bascule.front.cli.printing.screen import Screen, say
from bascule.front.cli.remote import sessions, tokens, trust
from bascule.front.cli.remote.options import Profile as ProfileName
from bascule.front.cli.remote.profiles import USUAL, Profile, Profiles, check_name
from bascule.front.cli.words.options import Json, tools_of
from bascule.front.cli.words.quantities import seconds_text
from bascule.model.errors import BasculeError, Cancelled, Refused, Unavailable

from .asking import NO_PASSWORD, asked, first_line

FIRST = "first-principal.json"
_NO_CLIENT = "set BASCULE_CLIENT_ID, and BASCULE_CLIENT_SECRET or --secret-file"


@dataclass(frozen=True, slots=True)
class Found:
    """What is known before anybody is asked: from a file, from options, from the environment."""

    url: str
    client: str = ""
    secret: str = ""
    authority: str = ""
    fingerprint: str = ""


Where = Annotated[
    str,
    typer.Argument(
        metavar="SERVER",
        help="https://HOST:PORT; or a service principal's file, or the server's folder that has one.",
        show_default=False,
    ),
]
Client = Annotated[
    str,
    typer.Option(
        "--client-id",
        metavar="ID",
        help="The service principal's id. Or set BASCULE_CLIENT_ID, or be asked for it.",
        show_default=False,
    ),
]
SecretFile = Annotated[
    Path | None,
    typer.Option(
        "--secret-file",
        metavar="FILE",
        help="A file whose first line is the secret. Or set BASCULE_CLIENT_SECRET, or be asked for it.",
        show_default=False,
    ),
]
User = Annotated[
    str,
    typer.Option("--user", metavar="NAME", help="Sign in as a person, by a password.", show_default=False),
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        metavar="FILE",
        help="A file whose first line is the password of --user. Or be asked for it.",
        show_default=False,
    ),
]
Device = Annotated[
    bool,
    typer.Option("--device", help="Sign in as a person, in a browser anywhere, by a code that is shown."),
]
Fingerprint = Annotated[
    str,
    typer.Option(
        "--fingerprint",
        metavar="SHA256",
        help="What `bascule serve` printed there: trust just that, and do not ask.",
        show_default=False,
    ),
]


def login(
    *,
    context: typer.Context,
    where: Where,
    client: Client = "",
    secret_file: SecretFile = None,
    user: User = "",
    password_file: PasswordFile = None,
    device: Device = False,
    fingerprint: Fingerprint = "",
    profile: ProfileName = "",
    is_json: Json = False,
) -> None:
    """Sign in at a server, and remember it as a profile, for all commands from then on.

    A server that the system does not know shows the fingerprint of its authority: compare it with what
    `bascule serve` printed there. It is remembered, and another one is refused from then on. A program's
    secret is kept in ~/.config/bascule, which only you can read; of a person only what renews the session,
    until that is over. Neither secret nor password is ever a word of a command line.

    \b
    Examples:
      bascule login /srv/vaults                                  (on the server, as its owner)
      bascule login https://vault.example:9446 --user gina       (be asked for the password)
      bascule login https://vault.example:9446 --device          (agree in a browser, on any machine)
      bascule login https://vault.example:9446 --client-id 1f… --secret-file ops.secret
      bascule login https://vault.example:9446 --profile north   (be asked for id and secret)
    """
    tools, screen = tools_of(context), Screen(is_json=is_json)
    profiles = Profiles(tools.settings)
    name = profile or tools.settings.get("BASCULE_PROFILE", "") or USUAL
    check_name(name)
    _check_one_way(user, password_file, is_device=device, is_program=bool(client or secret_file))
    password = first_line(password_file)
    found = _found(where, client, first_line(secret_file), fingerprint, tools.settings)
    authority, shown = _agreed(screen, found)
    trusted = trust.context(authority)
    known = Profile(name, found.url, tokens.tenant_of(found.url, trusted), sessions.CLIENT, fingerprint=shown)
    if device:
        known, token, expires_at = sessions.by_device(
            replace(known, user=user), trusted, tools.clock, _code, lambda text: say(text, sys.stderr)
        )
    elif user:
        password = password or asked("Password: ", f"{NO_PASSWORD}, or use --device", is_secret=True)
        known, token, expires_at = sessions.by_password(
            replace(known, user=user), password, trusted, tools.clock
        )
    else:
        client = found.client or asked("Client id: ", _NO_CLIENT)
        secret = found.secret or asked("Secret: ", _NO_CLIENT, is_secret=True)
        known = replace(known, client=client, secret=secret)
        token, expires_at = tokens.signed_in(known, trusted, tools.clock)
    known = _meaning(known, tokens.vaults_of(known, token, trusted))
    profiles.keep(known, authority)
    profiles.keep_token(known, token, expires_at)
    _welcome(screen, known)


def _welcome(screen: Screen, known: Profile) -> None:
    who = f" as {known.user}" if known.user else ""
    meant = (
        f"Vault {known.vault} is meant unless you name another." if known.vault else "No vault is meant yet."
    )
    shown = {"profile": known.name, "url": known.url, "user": known.user}
    screen.show(
        {**shown, "fingerprint": known.fingerprint, "vault": known.vault},
        [f"Signed in at {known.url}{who}; profile {known.name}.", meant],
    )


def logout(context: typer.Context, profile: ProfileName = "", is_json: Json = False) -> None:
    """Forget a profile, with its secret or session and its token.

    A person's session ends at the server too. A server that does not answer is told nothing, and the profile
    is forgotten all the same: a copy of the session, if there is one, is good until it is over by itself,
    half a day after it began, or the password is changed. A program's secret is good until it is forgotten
    there (`bascule principal forget`).

    \b
    Example:
      bascule logout --profile north
    """
    profiles, screen = Profiles(tools_of(context).settings), Screen(is_json=is_json)
    found = profiles.get(profile)
    has_ended = bool(found.session) and _has_ended(profiles, found, screen)
    profiles.forget(found)
    lines = [f"Profile {found.name} is forgotten{', and its session is over' if has_ended else ''}."]
    screen.show({"profile": found.name, "sessionEnded": has_ended}, lines)


def _has_ended(profiles: Profiles, found: Profile, screen: Screen) -> bool:
    """End a session at its server, or say why it could not be."""
    try:
        sessions.end(found, profiles.trust(found))
    except BasculeError as error:
        screen.note(f"The session was not ended: {error.message}.")
        screen.note("It is over by itself half a day after it began.")
        return False
    return True


def _found(where: str, client: str, secret: str, fingerprint: str, settings: Mapping[str, str]) -> Found:
    path = Path(where)
    if "://" not in where and path.exists():
        found = _of_file(path / FIRST if path.is_dir() else path)
        return replace(found, fingerprint=fingerprint) if fingerprint else found
    client = client or settings.get("BASCULE_CLIENT_ID", "")
    secret = secret or settings.get("BASCULE_CLIENT_SECRET", "")
    return Found(trust.spelt(where), client, secret, fingerprint=fingerprint)


def _of_file(path: Path) -> Found:
    try:
        said = json.loads(path.read_bytes())
        authority = Path(said["authority"]) if said.get("authority") else None
        text = authority.read_text() if authority and authority.exists() else ""
        shown = str(said.get("fingerprint", ""))
        return Found(trust.spelt(said["url"]), said["client_id"], said["client_secret"], text, shown)
    except OSError as error:
        raise Unavailable(
            f"cannot read {path}: {error.strerror}",
            cure="sign in by address: `bascule login https://HOST:PORT`",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(
            f"{path} is no service principal's file", cure="name the file that a server made"
        ) from error


def _agreed(screen: Screen, found: Found) -> tuple[str, str]:
    """Return the authority to trust and its fingerprint, both empty if the system knows the server."""
    shown = trust.look(found.url)
    if shown.is_known:
        return "", ""
    if found.fingerprint and not trust.is_alike(found.fingerprint, shown.fingerprint):
        raise Refused(
            f"{found.url} shows another authority: {shown.fingerprint}",
            cure="do not go on unless that is what `bascule serve` printed there",
            code="other-authority",
        )
    # A file of the server itself was read where only its owner may: what is in it is vouched for.
    authority = found.authority or shown.authority
    trust.check(found.url, authority)
    if not (found.authority or found.fingerprint):
        screen.note(f"{found.url} is not known to this system. The fingerprint of its authority is")
        screen.note(f"  {shown.fingerprint}")
        screen.note("It should be what `bascule serve` printed on the server.")
        if not sys.stdin.isatty():
            raise Refused(
                "nobody is here to compare it", cure="give it with --fingerprint", code="unknown-authority"
            )
        if asked("Is it the same? [y/N] ", "give it with --fingerprint").lower() not in ("y", "yes"):
            raise Cancelled("nothing was kept", cure="find out who answers at that address")
    return authority, trust.fingerprint(authority)


def _check_one_way(user: str, password: Path | None, *, is_device: bool, is_program: bool) -> None:
    if is_program and (user or is_device or password):
        raise Refused(
            "that names a person and a program",
            cure="give --user or --device, or --client-id and --secret-file",
        )
    if password and (is_device or not user):
        raise Refused(
            "--password-file is the password of --user",
            cure="leave it out with --device" if is_device else "say whose it is with --user",
        )


def _code(begun: Mapping[str, Any]) -> None:
    """Tell a person where to go, whatever standard output is for."""
    say(f"Open {begun['verification_uri']} in a browser, anywhere, and enter the code", sys.stderr)
    say(f"  {begun['user_code']}", sys.stderr)
    say(
        f"It is good for {seconds_text(int(begun['expires_in']))}; waiting for you to agree there.",
        sys.stderr,
    )


def _meaning(profile: Profile, vaults: list[tuple[str, str]]) -> Profile:
    """Return a profile that means the vault that there is, if there is one only."""
    if len(vaults) != 1:
        return profile
    [(vault, group)] = vaults
    return replace(profile, vault=vault, group=group)
