"""The page on which a person signs in for a device: a form without scripts, cookies, or others' words."""

from __future__ import annotations

from html import escape

from ..answers import Answer

_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Bascule: sign in for a device</title></head>
<body><main><h1>Sign in for a device</h1>
{said}
</main></body></html>
"""
_FORM = """<p>Go on only if you began this yourself, and the code is the one that your own device shows.</p>
<form method="post" action="/device" autocomplete="off">
<p><label>Code <input name="code" value="{code}" required autofocus></label></p>
<p><label>User <input name="user" autocomplete="username" required></label></p>
<p><label>Password <input name="password" type="password" required></label></p>
<p><button>Sign in</button></p></form>"""


def asking(code: str = "", wrong: str = "") -> Answer:
    """Return the page that asks, and says what was wrong before."""
    said = f'<p role="alert">{escape(wrong)}</p>\n' if wrong else ""
    return _page(400 if wrong else 200, said + _FORM.format(code=escape(code[:16])))


def done() -> Answer:
    """Return the page that says that it is done."""
    return _page(200, "<p>The device is signed in. You may close this page.</p>")


def _page(status: int, said: str) -> Answer:
    return Answer(status, _PAGE.format(said=said).encode(), _HEADERS)
