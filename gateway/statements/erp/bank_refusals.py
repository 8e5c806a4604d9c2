"""The replies to questions that a bank does not answer or declines; and the gateway's payments among a bank's
entries."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from gateway.kernel import log
from gateway.kernel.asking import Unavailable
from gateway.kernel.core.policy import Route
from gateway.payments.rows import lookup
from protocols.canon.errors import Code, Refusal
from protocols.canon.statement import Line
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.paging import PAGES_MAX, TOO_MANY_PAGES

STOPPING = "stopping"
"""The lane's reason while the daemon stops: the question stays in the journal and is asked after the restart."""
ELSEWHERE = frozenset({"lane_elsewhere", "no_such_lane"})
"""The reasons that mean that another node owns the lane."""
_OURS = Refusal(Code.INTERNAL, "a fault of the gateway; the question was not answered, and an operator is told")
_log = log.get("erp.questions")


def defect(failure: object) -> Refusal:
    """The refusal for a defect of the gateway, so that the ERP gets a reply without waiting for a restart.

    Raises CancelledError if the daemon stops: the question is then asked again after the restart.
    """
    assert isinstance(failure, Failure)
    if failure.check(CancelledError):
        raise CancelledError
    _log.error(
        "question.defect",
        error=failure.getTraceback(detail="brief"),
        action="the question is answered with error `internal`; report this error",
    )
    return _OURS


def ours(conn: Connection, lane: str, lines: Iterable[Line]) -> dict[str, str]:
    """The keys of the gateway's own payments that these entries are about, by bank reference."""
    references = sorted({line.reference for line in lines if line.reference})
    found = ((reference, lookup.find_by_reference(conn, lane, reference)) for reference in references)
    return {reference: row.payment for reference, row in found if row is not None}


def is_elsewhere(error: Unavailable | ProtocolError) -> bool:
    """True if another node is connected to this bank."""
    return isinstance(error, Unavailable) and error.reason in ELSEWHERE


def no_answer(route: Route, error: Unavailable | ProtocolError) -> Refusal:
    """The refusal for an unanswered question. Raises CancelledError if the daemon stops, because the question is then
    asked again later."""
    if isinstance(error, Unavailable) and STOPPING in (error.reason, str(error)):
        raise CancelledError
    if isinstance(error, Declined):
        code = Code.BANK_REFUSED if error.outcome == "failed" else Code.BANK_UNAVAILABLE
        return Refusal(code, f"{route.bank} answered {error.code} {error.bank_text}")
    if isinstance(error, ProtocolError) and error.reason == TOO_MANY_PAGES:
        title = f"{route.bank} lists more than {PAGES_MAX} pages, the most that are walked; get this list from the bank"
        return Refusal(Code.UNSUPPORTED, title)
    if isinstance(error, ProtocolError):
        return Refusal(Code.BANK_UNCLEAR, f"{route.bank}'s answer could not be used ({error.reason}); ask again")
    if is_elsewhere(error):
        title = f"another node of the gateway speaks to {route.bank}; ask about this account in a question of its own"
        return Refusal(Code.BANK_UNAVAILABLE, title)
    return Refusal(Code.BANK_UNAVAILABLE, f"{route.bank} did not answer in time ({error.reason}); ask again")
