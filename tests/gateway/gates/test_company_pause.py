"""Rule `company_pause`."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.bank.company_pauses import CompanyPauses
from gateway.bank.gates.company_pause import CompanyPauseAtSend, CompanyPauseRule
from gateway.kernel.cluster.lane_pauses import PauseState
from gateway.kernel.core.gate import PASS, Refuse, Wait
from gateway.settings.agreement import TREASURY
from protocols.canon.order import CollectionDetail
from protocols.canon.outcome import State
from tests.gateway.gates.facts import NOW_MS, at_write, message, row
from tests.protocols.erp.orders import ORDER

OURS, THEIRS = ORDER.debtor.account.clear, ORDER.creditor.account.clear
WAITS, STOPPED = Wait(NOW_MS + 2_000, "company_paused", "company jia is paused"), Refuse("company_paused")


def pauses(*paused: str, **company_of: str) -> CompanyPauses:
    """The pauses of these companies, with a register that has accounts of ours and theirs."""
    numbers = {"ours": OURS, "theirs": THEIRS}
    routes: Any = {numbers[name]: SimpleNamespace(company=company) for name, company in company_of.items()}
    made = CompanyPauses(lambda: routes)
    made.apply({name: PauseState(1, paused=True) for name in paused})
    return made


def verdicts(companies: CompanyPauses, **changed: Any) -> tuple[Any, Any]:
    """The verdicts in the unit and before the write."""
    one = row(State.SENDING, **changed)
    at_send = CompanyPauseAtSend(companies).judge(message(replace(one, version=1)).facts()[0])
    facts = at_write(one)
    parts: Any = facts.parts
    parts.companies = companies
    return at_send, CompanyPauseRule().judge(facts)


def test_a_payment_of_a_paused_company_waits_and_its_bytes_do_not_leave() -> None:
    assert verdicts(pauses("jia", ours="jia")) == (WAITS, STOPPED)


@pytest.mark.parametrize("paused", [(), ("yi",), ("ji",), ("jia_2",)])
def test_other_companies_go_on(paused: tuple[str, ...]) -> None:
    assert verdicts(pauses(*paused, ours="jia", theirs="jia")) == (PASS, PASS)


def test_one_payment_of_a_paused_company_keeps_its_whole_message_back() -> None:
    facts = at_write(row(State.SENDING, company="yi"), row(State.SENDING))
    parts: Any = facts.parts
    parts.companies = pauses("jia")
    assert CompanyPauseRule().judge(facts) == STOPPED


@pytest.mark.parametrize(("then", "now"), [("jia", "yi"), ("yi", "jia"), ("jia", None)])
def test_an_account_that_was_moved_to_another_company_frees_no_payment(then: str, now: str | None) -> None:
    companies = pauses("jia", **({} if now is None else {"ours": now}))
    assert verdicts(companies, company=then) == (WAITS, STOPPED)


def test_a_move_of_treasury_waits_for_both_companies_and_an_erps_order_for_the_payers_only() -> None:
    companies = pauses("jia", ours="yi", theirs="jia")
    assert verdicts(companies, company="yi", sender=TREASURY) == (WAITS, STOPPED)
    assert verdicts(companies, company="yi") == (PASS, PASS)


def test_of_a_collection_the_own_account_is_the_payees() -> None:
    companies = pauses("jia", ours="yi", theirs="jia")
    payment: Any = ORDER
    order = replace(payment, detail=CollectionDetail("A1"))
    assert verdicts(companies, company="yi", order=order) == (WAITS, STOPPED)


def test_the_last_change_of_the_journal_holds_and_a_resumption_is_told() -> None:
    companies, told = pauses("jia", "yi"), list[frozenset[str]]()
    companies.on_resumed(lambda: told.append(companies.paused))
    for said in (PauseState(3, paused=False), PauseState(2, paused=True)):
        companies.apply({"jia": said})
    assert (companies.paused, told) == (frozenset({"yi"}), [frozenset({"yi"})])
    companies.apply({"jia": PauseState(4, paused=True)})
    assert companies.paused == {"jia", "yi"} and len(told) == 1


@pytest.mark.parametrize(
    ("fresh", "kept"),
    [
        ({"ours": "jia"}, True),
        ({}, True),
        ({"ours": "bing"}, True),
        ({"ours": "yi"}, False),
        ({"ours": "jia_2"}, False),
    ],
)
def test_settings_that_take_an_account_from_a_paused_company_are_refused(fresh: dict[str, str], kept: bool) -> None:
    why = pauses("jia", "bing", ours="jia").why_not_moved(pauses(**fresh)._routes())
    assert (why == "") == kept and (kept or f"from jia to {fresh['ours']}" in why)
    assert pauses(ours="jia").why_not_moved(pauses(ours="yi")._routes()) == "", "without a pause"


def test_a_paused_company_without_an_account_is_unknown() -> None:
    assert pauses("jia", "yi", ours="jia").unknown == ("yi",)
