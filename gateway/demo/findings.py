"""The parts of the demo's report beside the verdict: promises, faults and the payments that they struck, stories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.demo import daily_operations, evidence, stage
from gateway.demo import report as demo_report
from gateway.demo import site as demo_site
from gateway.demo.erp import ReceivedNews
from gateway.demo.orders import Story
from gateway.demo.report import FaultRow, PromiseCheck
from gateway.demo.texts import phrase
from gateway.demo.verdict import Executed, FindingKind, Journalled, OrderResult, Verdict, outcome
from gateway.simbank.faults import FAULTS, BankFault
from protocols.canon.outcome import State
from protocols.twin import Booked


def promises(verdict: Verdict, executions: list[Executed], story: Story) -> Iterator[PromiseCheck]:
    """The promises about orders and commands."""
    duplicated, lost = verdict.count(FindingKind.DUPLICATED), verdict.count(FindingKind.LOST)
    disagreeing = sum(finding.wrong is FindingKind.DISAGREES for finding in verdict.findings)
    moved = sum(one.booked is not Booked.REFUSED for one in executions)
    for promise, number, found in (
        (
            "no order was carried out twice",
            duplicated,
            phrase(
                "{executions} executions in the ledgers, {moved} of them moved money; {duplicated} orders twice",
                executions=len(executions),
                moved=moved,
                duplicated=duplicated,
            ),
        ),
        (
            "every order and every command is answered for",
            lost,
            phrase(
                "{orders} orders, {commands} commands; {lost} without a final word or an answer",
                orders=len(story.orders),
                commands=len(story.commands),
                lost=lost,
            ),
        ),
    ):
        yield PromiseCheck(phrase(promise), number == 0, found)
    differences = phrase("{count} differences", count=disagreeing)
    yield PromiseCheck(phrase("ledgers, journal and events say the same"), disagreeing == 0, differences)


def only_permitted_repeats(journal: Sequence[Journalled], tallies: Mapping[str, Mapping[str, Any]]) -> PromiseCheck:
    """The promise that repeats were permitted: a bank may get a reference again only where its own rules allow the same
    bytes again, and it books them once."""
    repeats: Counter[str] = Counter()
    for row in journal:
        repeats[row.bank] += max(0, row.sends - 1)
    met = {bank: int(tally["duplicates"]) for bank, tally in tallies.items()}
    more = [
        f"{bank} met {count} again, {repeats[bank]} were sent" for bank, count in met.items() if count > repeats[bank]
    ]
    unfit = sum(bool(row.unfit) for row in journal)
    found = phrase(
        "{repeats} repeats, {unfit} of them not allowed or not byte for byte; the banks met {met} references they had "
        "already",
        repeats=repeats.total(),
        unfit=unfit,
        met=sum(met.values()),
    )
    promise = phrase("a bank met a reference again only as a repeat that its rules allow, byte for byte")
    return PromiseCheck(promise, not more and unfit == 0, "; ".join([str(found), *more]) if more else found)


def sound(log: Path) -> PromiseCheck:
    """The promise about the daemon's log."""
    found = evidence.defects(log)
    return PromiseCheck(
        phrase("the daemon's log shows no defect of its own"), not found, "; ".join(found[:3]) or "none"
    )


def by_sort(verdict: Verdict) -> dict[str, Counter[str]]:
    """The results of the orders, by kind of order."""
    sorts: dict[str, Counter[str]] = {}
    for fate in verdict.fates:
        sorts.setdefault(fate.order.sort, Counter())[_word(fate)] += 1
    return sorts


def _word(fate: OrderResult) -> str:
    return "unheard of" if fate.told is None else fate.told.value


def fault_rows(
    site: demo_site.Site, verdict: Verdict, tallies: Mapping[str, Mapping[str, Any]], early: frozenset[str] | None
) -> Iterator[FaultRow]:
    """The effects of each bank's faults.

    `early` are the payments that left before the banks were told to commit no more faults; None: all payments.
    """
    for plan in site.plans:
        struck: dict[BankFault, Counter[str]] = {}
        for fate in verdict.fates:
            # A fault of a bundle has the bundle's reference, which belongs to no single order.
            single = fate.order.kind in ("payment", "transfer") and (early is None or fate.payment in early)
            if fate.order.bank == plan.bank and fate.reference is not None and fate.order.carried and single:
                fault = stage.first_fault(plan, fate.reference)
                if fault is not None:
                    struck.setdefault(fault, Counter())[_word(fate)] += 1
        for fault in BankFault:
            committed = int(tallies[plan.bank]["faults"][fault.value])
            yield FaultRow(plan.bank, fault.value, FAULTS[fault].meaning, committed, struck.get(fault, Counter()))


def answers_to_questions(story: Story, heard: list[ReceivedNews]) -> dict[str, Counter[str]]:
    """The counts of answers, by question and answer."""
    answers: dict[str, list[ReceivedNews]] = {}
    for one in heard:
        answers.setdefault(one.correlation, []).append(one)
    found: dict[str, Counter[str]] = {}
    for question in story.questions:
        words = sorted({outcome(one) for one in answers.get(question.message_id, ())})
        found.setdefault(question.key, Counter())[" and ".join(words) or "nothing"] += 1
    return found


def stories(site: demo_site.Site, verdict: Verdict) -> Iterator[demo_report.PaymentStory]:
    """The files of some payments that faults affected, one of each kind."""
    wanted: dict[str, OrderResult] = {}
    doubted = evidence.doubted(site.state)
    for fate in verdict.fates:
        if fate.payment is None:
            continue
        rules, settled = doubted.get(fate.payment, frozenset()), fate.told is State.SETTLED
        for why, fits in (
            ("killed while it was being sent, then settled", "payment.taken_over" in rules and settled),
            ("the bank fell silent, then settled", "payment.silent" in rules and settled),
            ("hidden by the bank, then found", "payment.pending_not_found" in rules and settled),
            ("settled, and the money came back", fate.told is State.RETURNED),
            ("in doubt, then refused by the bank", bool(rules) and fate.told is State.FAILED),
            ("still in doubt: the bank does not know it", fate.in_doubt),
            ("published three times, paid once", fate.order.sort == "three times" and settled),
            ("withdrawn before it was sent", fate.told is State.CANCELLED),
            ("one of many in one message", fate.order.kind in daily_operations.COMMANDS and fate.booked is not None),
        ):
            if fits:
                wanted.setdefault(why, fate)
    climbs = evidence.longest_climbs(site.state)
    wanted |= {
        f"{demo_report.CLIMB} {fate.order.bank}": fate
        for fate in verdict.fates
        if climbs.get(fate.order.bank) == fate.order.id
    }
    keys = {why: fate.payment for why, fate in wanted.items() if fate.payment is not None}
    files = evidence.files_of_payments(site.state, site.folder / "secrets" / "vault.key", tuple(keys.values()))
    for why, fate in wanted.items():
        yield demo_report.PaymentStory(why, fate.order.id, fate, tuple(files[keys[why]]))
