"""Pages for making a passkey and signing in with one.

The console and the approval page have the same pages, but each keeps its own passkeys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from gateway.control.client import Refused
from gateway.web.shared.site import PageRequest, WebRoute


class PasskeyPages:
    """The passkey pages of one site. `page` is its name for the daemon; `door` is the path for signing in with a
    passkey.
    """

    def __init__(self, page: str, door: str) -> None:
        self._page = page
        self._door = door

    def routes(self) -> Sequence[WebRoute]:
        """The routes for signing in with a passkey, and for making one."""
        return (
            WebRoute("GET", self._door, self.sign_in_form, open=True),
            WebRoute("POST", self._door, self.sign_in, open=True, sparing=True),
            WebRoute("GET", "/passkey", self.passkey_form, open=True),
            WebRoute("POST", "/passkey", self.passkey, open=True, sparing=True),
        )

    def challenge(self, visit: PageRequest, purpose: str) -> Mapping[str, Any]:
        """Get a challenge for this site from the daemon."""
        said: Mapping[str, Any] = visit.daemon.post("web", "challenge", page=self._page, purpose=purpose)
        return said

    def sign_in_form(self, visit: PageRequest) -> Response:
        """Show the form in which a passkey of this site signs a challenge."""
        return self._sign_in(visit, 200, "")

    def _sign_in(self, visit: PageRequest, status: int, why: str) -> Response:
        asked = self.challenge(visit, "sign_in")
        return visit.show("sign-in-passkey.html", status, why=why, door=self._door, asked=asked)

    def sign_in(self, visit: PageRequest) -> Response:
        """Try to sign in."""
        try:
            said = visit.daemon.post("web", "sign-in", "passkey", page=self._page, **given(visit))
        except Refused as error:
            return self._sign_in(visit, error.status, str(error))
        visit.sign_in_with(said["token"])
        return visit.go("/")

    def passkey_form(self, visit: PageRequest) -> Response:
        """Show the form for making a passkey for this site."""
        return visit.show("passkey.html", why="", asked=self.challenge(visit, "create"))

    def passkey(self, visit: PageRequest) -> Response:
        """Show the code with which the person binds the new passkey."""
        try:
            made = visit.daemon.post("web", "passkeys", page=self._page, **given(visit))
        except Refused as error:
            return visit.show("passkey.html", error.status, why=str(error), asked=self.challenge(visit, "create"))
        return visit.show("passkey-made.html", made=made, page=self._page, door=self._door)


def given(visit: PageRequest) -> Mapping[str, str]:
    """The values of a form that contains a passkey's answer."""
    return {name: visit.form.get(name, "") for name in ("challenge", "answer")}
