"""The pages of the approval page: sign in by passkey, requests that wait, the text of a request, and the decision."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence

from starlette.responses import Response

from gateway.approvals.rules import approval_digest, approval_text
from gateway.control.signed_words import ApprovalDecision, decision_to_sign, passkey_challenge
from gateway.web.shared.passkey_pages import PasskeyPages
from gateway.web.shared.site import PageRefused, PageRequest, WebRoute

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


def sign_out(visit: PageRequest) -> Response:
    """End the session."""
    visit.daemon.post("web", "sign-out")
    visit.sign_out()
    return visit.go("/sign-in")


def inbox(visit: PageRequest) -> Response:
    """Show the requests that wait for the person's approval."""
    return visit.show("inbox.html", found=visit.daemon.get("approvals", after=visit.asked("after") or None))


def request(visit: PageRequest) -> Response:
    """Show the text of a request, made anew on this page from the bytes whose digest is signed."""
    said = visit.daemon.get("approvals", visit.part("key"))
    form = str(said["form"]).encode("ascii", "replace")
    try:
        words = approval_text.signed_text(form, visit.language)
    except approval_digest.BadForm:
        raise PageRefused(502, "words_differ") from None
    digest = approval_digest.digest(form)
    if said["digest"] != digest or said["words"][visit.language] != words:
        raise PageRefused(502, "words_differ")
    challenges = {
        decision.value: urlsafe_b64encode(passkey_challenge(decision_to_sign(digest, decision))).rstrip(b"=").decode()
        for decision in ApprovalDecision
    }
    return visit.show(
        "request.html", one=said, words=words, digest=digest, challenges=challenges, open=said["state"] in _DECIDABLE
    )


def approve(visit: PageRequest) -> Response:
    """Pass the signed approval to the daemon, which judges it."""
    return _decided(visit, "approve")


def reject(visit: PageRequest) -> Response:
    """Pass the signed rejection to the daemon."""
    return _decided(visit, "reject", reason=visit.form.get("reason", ""))


def _decided(visit: PageRequest, decision: str, **more: str) -> Response:
    given = {name: visit.form.get(name, "") for name in ("digest", "answer")}
    said = visit.daemon.post("web", "approvals", visit.part("key"), decision, **given, **more)
    return visit.show("decided.html", said=said)
