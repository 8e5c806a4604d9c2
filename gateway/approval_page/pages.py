"""The approval page's pages: sign in by passkey, what waits, the words of one request, and the decision."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence

from starlette.responses import Response

from gateway.control.signed_words import ApprovalDecision, decision_to_sign, passkey_challenge
from gateway.people import approval_digest, approval_text
from gateway.web.passkey_pages import PasskeyPages
from gateway.web.site import PageRefused, PageVisit, WebRoute

PASSKEYS = PasskeyPages("approval", "/sign-in")
_DECIDABLE = ("open", "late")


def routes() -> Sequence[WebRoute]:
    """Every page."""
    return (
        *PASSKEYS.routes(),
        WebRoute("POST", "/sign-out", sign_out),
        WebRoute("GET", "/", inbox),
        WebRoute("GET", "/requests/{key}", request),
        WebRoute("POST", "/requests/{key}/approve", approve),
        WebRoute("POST", "/requests/{key}/reject", reject),
    )


def sign_out(visit: PageVisit) -> Response:
    """End the session."""
    visit.daemon.post("web", "sign-out")
    visit.sign_out()
    return visit.go("/sign-in")


def inbox(visit: PageVisit) -> Response:
    """What waits for approval."""
    return visit.show("inbox.html", found=visit.daemon.get("approvals", after=visit.asked("after") or None))


def request(visit: PageVisit) -> Response:
    """The words of a request, made here anew from the bytes whose digest is signed."""
    said = visit.daemon.get("approvals", visit.part("key"))
    form = str(said["form"]).encode("ascii", "replace")
    try:
        words = approval_text.words(form, visit.language)
    except approval_digest.BadForm:
        raise PageRefused(502, "words_differ") from None
    digest = approval_digest.digest(form)
    if said["digest"] != digest or said["words"][visit.language] != words:
        raise PageRefused(502, "words_differ")
    challenges = {
        decision.value: urlsafe_b64encode(passkey_challenge(decision_to_sign(digest, decision))).rstrip(b"=").decode()
        for decision in ApprovalDecision
    }
    return visit.show("request.html", one=said, words=words, digest=digest, challenges=challenges,
                      open=said["state"] in _DECIDABLE)  # fmt: skip


def approve(visit: PageVisit) -> Response:
    """Hand the signed yes to the daemon, which judges it."""
    return _decided(visit, "approve")


def reject(visit: PageVisit) -> Response:
    """Hand the signed no to the daemon."""
    return _decided(visit, "reject", reason=visit.form.get("reason", ""))


def _decided(visit: PageVisit, decision: str, **more: str) -> Response:
    given = {name: visit.form.get(name, "") for name in ("digest", "answer")}
    said = visit.daemon.post("web", "approvals", visit.part("key"), decision, **given, **more)
    return visit.show("decided.html", said=said)
