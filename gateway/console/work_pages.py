"""The console's pages of work lists, of messages that nobody took, of passkeys, and of showing a factor again."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from gateway.console.code_texts import said
from gateway.control.client import Refused
from gateway.web.passkey_pages import PasskeyPages, given
from gateway.web.site import PageVisit, WebRoute, inside

PASSKEYS = PasskeyPages("console", "/sign-in/passkey")


def routes() -> Sequence[WebRoute]:
    """These pages."""
    return (
        *PASSKEYS.routes(),
        WebRoute("GET", "/step-up", step_up_form),
        WebRoute("POST", "/step-up", step_up, sparing=True),
        WebRoute("POST", "/step-up/passkey", step_up_by_passkey, sparing=True),
        WebRoute("GET", "/worklists/{name}", worklist),
        WebRoute("GET", "/messages", messages),
        WebRoute("POST", "/messages/{key}/replay", replay),
    )


def worklist(visit: PageVisit) -> Response:
    """One work list: what waits for a person, and the next step."""
    found = visit.query.get("worklists", list=visit.part("name"))
    return visit.show("worklist.html", found=found["lists"][0], at=found["at"], said=said)


def messages(visit: PageVisit) -> Response:
    """Messages to an ERP whose addressee was gone."""
    found = visit.daemon.get("parked", after=visit.asked("after") or None)
    return visit.show("messages.html", found=found)


def replay(visit: PageVisit) -> Response:
    """Publish one again, under the same message id."""
    visit.daemon.post("parked", visit.part("key"), "replay")
    return visit.go("/messages")


# ---- showing a factor again ----


def step_up_form(visit: PageVisit) -> Response:
    """What leaves as a file needs that its person shows a factor again."""
    return _step_up(visit, inside(visit.asked("back", "/")))


def _step_up(visit: PageVisit, back: str, status: int = 200, why: str = "") -> Response:
    # The way back is the file itself, which shows nothing in the browser: its page is linked beside it.
    page = "/receipts" if back.startswith("/receipts/") else "/reports"
    return visit.show("step-up.html", status, back=back, page=page, why=why, asked=PASSKEYS.challenge(visit, "step_up"))


def step_up(visit: PageVisit) -> Response:
    """Password and one-time code, again."""
    shown = {name: visit.form.get(name, "") for name in ("password", "one_time_code")}
    return _stepped_up(visit, "web", "step-up", **shown)


def step_up_by_passkey(visit: PageVisit) -> Response:
    """A passkey of the console, again."""
    return _stepped_up(visit, "web", "step-up", "passkey", page="console", **given(visit))


def _stepped_up(visit: PageVisit, *verb: str, **body: str) -> Response:
    back = inside(visit.form.get("back", "/"))
    try:
        said = visit.daemon.post(*verb, **body)
    except Refused as error:
        if error.code == "sign_in":
            raise
        return _step_up(visit, back, error.status, str(error))
    visit.keep(said["token"])
    return visit.go(back)
