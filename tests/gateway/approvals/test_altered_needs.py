"""SQL without the vault's key lowers no need for approvers: neither through the sums of the day nor by a deleted
request."""

from __future__ import annotations

from tests.gateway.approvals.test_approval_holds import PAYEE, submit
from tests.gateway.approvals.test_approval_holds import four_eyes as four_eyes
from tests.gateway.approvals.test_approval_holds import operator as operator
from tests.gateway.cli.control_operator import Operator
from tests.gateway.payments.test_repairs import alter, restarted
from tests.gateway.people.test_people_acts import site as site


def test_what_a_maker_paid_today_counts_again_at_the_next_start(four_eyes: Operator) -> None:
    assert submit(four_eyes, "AP-1", 4_000_000, maker="zhao", creditor=PAYEE)["state"] == "settled"
    alter(four_eyes, "update usage_counts set sum_minor = 0 where scope = 'maker'")
    again = restarted(four_eyes)
    told = submit(again, "AP-2", 4_000_001, maker="zhao", creditor=PAYEE)
    assert (told["state"], told.get("hold_reasons")) == ("held", ["approval"])
