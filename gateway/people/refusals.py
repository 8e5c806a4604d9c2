"""Turns a refusal by the journal into the answer to a call: its HTTP status, its code and its reason."""

from __future__ import annotations

from typing import Any

from gateway.call import Denied
from gateway.kernel import log
from gateway.people.rows.persons import No

_STATUS = {
    "no_such_order": 404,
    "no_such_person": 404,
    "no_such_proposal": 404,
    "no_such_lane": 404,
    "no_such_company": 404,
    "missing": 400,
    "not_enrolled": 403,
    "wrong_signature": 403,
    "wrong_fingerprint": 403,
    "not_allowed": 403,
    "cool_down": 403,
    "out_of_scope": 403,
    "one_seat": 403,
    "locked": 403,
    "sign_in_failed": 403,
    "wrong_code": 403,
    "no_such_delegation": 404,
    "no_such_request": 404,
    "no_such_account": 404,
}
_log = log.get("control.persons")


def refused(no: No, **about: Any) -> Denied:
    """Log a refusal of the journal, and return it as the answer."""
    _log.warning("control.refused", code=no.code, **about)
    return Denied(_STATUS.get(no.code, 409), no.code, no.why)
