"""What a bank's silence or refusal becomes for whoever asked, and which of its entries are our payments."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from gateway import log
from gateway.asking import Unavailable
from gateway.core.policy import Route
from gateway.journal.payments import lookup
from protocols.canon.errors import Code, Refusal
from protocols.canon.statement import Line
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.paging import PAGES_MAX, TOO_MANY_PAGES

STOPPING = "stopping"
"""What a lane says that leaves with the daemon: the question stays in the journal and is asked in the next life."""
ELSEWHERE = frozenset({"lane_elsewhere", "no_such_lane"})
"""What is said of a lane that is another node's."""
_OURS = Refusal(Code.INTERNAL, "a fault of the gateway; an operator is told")
_log = log.get("erp.questions")


def defect(failure: object) -> Refusal:
    """A defect of ours is an answer too: the asker must not wait for a restart. A stop is none: it asks again.

    Raises CancelledError for a stop.
    """
    assert isinstance(failure, Failure)
    if failure.check(CancelledError):
        raise CancelledError
    _log.error("question.defect", error=failure.getTraceback(detail="brief"), action="answered internal")
    return _OURS


def ours(conn: Connection, lane: str, lines: Iterable[Line]) -> dict[str, str]:
    """Our keys of the payments whose references these entries name."""
    references = sorted({line.reference for line in lines if line.reference})
    found = ((reference, lookup.find_by_reference(conn, lane, reference)) for reference in references)
    return {reference: row.payment for reference, row in found if row is not None}


def is_elsewhere(error: Unavailable | ProtocolError) -> bool:
    """Whether another node speaks to this bank."""
    return isinstance(error, Unavailable) and error.reason in ELSEWHERE


def no_answer(route: Route, error: Unavailable | ProtocolError) -> Refusal:
    """What the asker is told. Raises CancelledError where the daemon stops: it is asked again in the next life."""
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


