"""``bascule user``: people who may sign in at a server, each by a password of their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.remote.options import Profile, listed, properties, server_of, text
from bascule.front.cli.remote.profiles import Profiles
from bascule.front.cli.remote.server import Server
from bascule.front.cli.remote.sessions import by_password
from bascule.front.cli.words.agreeing import Yes, agreed
from bascule.front.cli.words.options import Json, tools_of
from bascule.front.cli.words.quantities import moment_from, moment_text
from bascule.front.cli.words.secrets import write_secret
from bascule.model.errors import Exists, Refused

from .asking import NO_PASSWORD, asked, first_line, new_password

app = typer.Typer(
    name="user",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="People of a server, who sign in by a password of their own. `bascule login --user` does, and what"
    " each may do in a vault says `bascule role`.",
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The user.", show_default=False)]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Have a password drawn by lot, and make this file with it, for its owner's eyes only.",
        show_default=False,
    ),
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        metavar="FILE",
        help="A file whose first line is the new password. Or be asked for it.",
        show_default=False,
    ),
]
_DRAWN = f"have one drawn with --out FILE, or {NO_PASSWORD}"


@app.command()
def add(
    *,
    context: typer.Context,
    name: Name,
    out: Out = None,
    password_file: PasswordFile = None,
    owner: Annotated[
        bool, typer.Option("--owner", help="They own the server: all vaults, roles, users and principals.")
    ] = False,
    profile: Profile = "",
    is_json: Json = False,
) -> None:
    """Add a user, by a first password that they change with `bascule user password`.

    \b
    Example:
      bascule user add gina --out gina.password
      bascule role set gina operator
      bascule login https://vault.example:9446 --user gina --password-file gina.password
    """
    server = server_of(context, profile)
    told = {"role": "owner" if owner else "", **_password(out, password_file)}
    made = server.send("PUT", _path(server, name), {"properties": told})
    _shown(made, out, f"Added user {name}", is_json=is_json)


@app.command()
def password(
    *,
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="[NAME]",
            help="Whose, for the owner of the server; your own if left out.",
            show_default=False,
        ),
    ] = "",
    out: Out = None,
    password_file: PasswordFile = None,
    old_password_file: Annotated[
        Path | None,
        typer.Option(
            "--old-password-file",
            metavar="FILE",
            help="A file whose first line is your password until now. Or be asked for it.",
            show_default=False,
        ),
    ] = None,
    profile: Profile = "",
    is_json: Json = False,
) -> None:
    """Change your own password, or give a user another one. All sessions by the old one are over at once.

    Giving another one also unlocks a user who was locked out after too many wrong passwords.

    \b
    Examples:
      bascule user password                            (your own: asked for the old and the new one)
      bascule user password gina --out gina.password   (as the owner of the server)
    """
    server = server_of(context, profile)
    if not name:
        if out:
            raise Refused("your own password is not drawn by lot", cure="leave --out out, and choose one")
        _change(context, server, old_password_file, password_file, is_json=is_json)
        return
    if old_password_file:
        raise Refused(
            "the owner needs no old password of others", cure="leave --old-password-file or NAME out"
        )
    told = {"properties": _password(out, password_file)}
    made = server.send("POST", f"{_path(server, name)}/resetPassword", told)
    _shown(made, out, f"{name} has another password", is_json=is_json)


@app.command()
def remove(
    context: typer.Context, name: Name, yes: Yes = False, profile: Profile = "", is_json: Json = False
) -> None:
    """Remove a user with all their roles.

    \b
    Example:
      bascule user remove gina
    """
    server, screen = server_of(context, profile), Screen(is_json=is_json)
    agreed(screen, f"{name}: out at once, everywhere, with all roles.", yes=yes)
    server.send("DELETE", _path(server, name))
    screen.show({"name": name}, [f"Removed user {name}."])


@app.command()
def unlock(context: typer.Context, name: Name, profile: Profile = "", is_json: Json = False) -> None:
    """Let a user try again at once who was locked out after too many wrong passwords.

    Servers that share a database lock each by itself: this is about the one that you are signed in at.

    \b
    Example:
      bascule user unlock gina
    """
    server = server_of(context, profile)
    found = server.send("POST", f"{_path(server, name)}/unlock", {})
    Screen(is_json=is_json).show(found, [f"User {name} may try again."])


@app.command("ls")
def list_users(context: typer.Context, profile: Profile = "", is_json: Json = False) -> None:
    """List the users of a server, and since when each has the password of now.

    \b
    Example:
      bascule user ls
    """

    def row(one: Mapping[str, Any]) -> tuple[str, ...]:
        said = properties(one)
        since = said["passwordSince"]
        return text(one["name"]), text(said["role"]), moment_text(moment_from(since)) if since else ""

    server = server_of(context, profile)
    listed(
        server.pages(_path(server, "").rstrip("/")), ("NAME", "ROLE", "PASSWORD SINCE"), row, is_json=is_json
    )


def _change(
    context: typer.Context, server: Server, old_file: Path | None, new_file: Path | None, *, is_json: bool
) -> None:
    """Change the caller's own password, and begin the session anew that ended with the old one."""
    known = server.profile
    if not known.user:
        raise Refused(
            f"profile {known.name} is a program's, which has no password",
            cure="sign in with `bascule login --user`, or say whose password with NAME",
        )
    old = first_line(old_file) or asked(
        "Password until now: ", "name it with --old-password-file", is_secret=True
    )
    new = first_line(new_file) or new_password(NO_PASSWORD)
    people = f"/subscriptions/{known.tenant}/providers/Bascule/changePassword"
    made = server.send("POST", people, {"properties": {"password": old, "newPassword": new}})
    tools = tools_of(context)
    profiles = Profiles(tools.settings)
    kept, token, expires_at = by_password(known, new, profiles.trust(known), tools.clock)
    profiles.renew(kept)
    profiles.keep_token(kept, token, expires_at)
    lines = ["Your password is changed. Whoever signed in by the old one is out; you are signed in anew."]
    Screen(is_json=is_json).show(made, lines)


def _password(out: Path | None, file: Path | None) -> Mapping[str, str]:
    """Return how a password is asked for: given, or nothing for one that is to be drawn."""
    if out and file:
        raise Refused("a password is drawn or chosen", cure="give --out or --password-file, not both")
    if out is None:
        return {"password": first_line(file) or new_password(_DRAWN)}
    if out.exists():  # before the server changes anything
        raise Exists(f"{out} is there already", cure="name another file")
    return {}


def _shown(made: Mapping[str, Any], out: Path | None, said: str, *, is_json: bool) -> None:
    shown = {"name": made["name"], "role": properties(made)["role"], "file": str(out or "")}
    if out:
        write_secret(out, f"{properties(made)['password']}\n".encode())
        said = f"{said}; it is in {out}, for its owner's eyes only"
    Screen(is_json=is_json).show(shown, [f"{said}."])


def _path(server: Server, name: str) -> str:
    return f"/subscriptions/{server.profile.tenant}/providers/Bascule/users/{quote(name, safe='')}"
