"""SQL without the vault's key lowers no need for approvers: neither through the sums of the day nor by a deleted
request."""

from __future__ import annotations

import pytest

from gateway.approvals.rows.approval_requests import RequestState
from tests.gateway.approvals.test_approval_holds import HAN, PAYEE, TANG, request, submit
from tests.gateway.approvals.test_approval_holds import four_eyes as four_eyes
from tests.gateway.approvals.test_approval_holds import operator as operator
from tests.gateway.cli.control_operator import Operator
from tests.gateway.payments.test_repairs import alter, restarted
from tests.gateway.people.test_people_acts import decide
from tests.gateway.people.test_people_acts import site as site


def test_what_a_maker_paid_today_counts_again_at_the_next_start(four_eyes: Operator) -> None:
    assert submit(four_eyes, "AP-1", 4_000_000, maker="zhao", creditor=PAYEE)["state"] == "settled"
    alter(four_eyes, "update usage_counts set sum_minor = 0 where scope = 'maker'")
    again = restarted(four_eyes)
    told = submit(again, "AP-2", 4_000_001, maker="zhao", creditor=PAYEE)
    assert (told["state"], told.get("hold_reasons")) == ("held", ["approval"])


@pytest.mark.parametrize("reasons", ["suspected_duplicate", "suspected_duplicate,approval"])
def test_a_deleted_request_is_asked_again_with_what_it_needed(four_eyes: Operator, reasons: str) -> None:
    """Held for approval, the order alone would need one approver. It needs two by what its maker has paid this payee
    before."""
    decide(four_eyes, "policy", "approvals", "CNY 0..50000 0; CNY 50000.. 2; makers kingdee")
    submit(four_eyes, "AP-1", 4_000_000, maker="zhao", creditor=PAYEE)
    told = submit(four_eyes, "AP-2", 4_000_000, maker="zhao", creditor=PAYEE)
    assert set(told["hold_reasons"]) == {"suspected_duplicate", "approval"}
    alter(four_eyes, "delete from approval_requests")
    again = restarted(four_eyes)
    decide(again, "release", "kingdee:AP-2", reasons, HAN, TANG)
    again.world.run(1)
    said = again.world.last("AP-2")
    assert (said["state"], said.get("hold_reasons")) == ("held", ["approval"])
    made = request(again, "AP-2")
    assert made is not None and (made.state, made.need.approvers) == (RequestState.OPEN, 2)
    assert len(again.world.bank.ledger.executions) == 1
