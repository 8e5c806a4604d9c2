"""Scenes of events that random stories hardly reach: rare answers, late answers, persons, several nodes.

A scene plays one order (or a few) to its end in a world of its own and asserts what became of it. Together with the
fixed seeds and the scenes of repeats (`scenes_repeats`) they reach every row of the table (`corpus`).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from gateway.erp.topology import MARK_QUEUE
from gateway.kernel.core.states import Answered, Event, Expire, Hold, Overdue, Release, Source, Work
from gateway.simbank.faults import BankFault, ExchangeKind, ScriptedFault
from protocols.bank import Bank, Context, MoneyConversation
from protocols.canon.order import AnyOrder, Kind
from protocols.canon.outcome import Fate
from protocols.kit.errors import ProtocolError
from tests.world import between
from tests.world.chosen_verdicts import chosen_verdicts
from tests.world.history import untold, violations
from tests.world.sim import replaying
from tests.world.stage import (
    HIDDEN,
    NEVER,
    NO_WORD,
    ORDER,
    SAFE,
    SILENT,
    SLOW_WORD,
    SPANS,
    SceneWorld,
    entry,
    no_permit,
    pause,
    resolve,
    scene,
)
from tests.world.world import World

# ---- before anything is sent -------------------------------------------------------------------------------------


@scene
def held_and_released(folder: Path) -> World:
    world = SceneWorld(folder, sender={"new_payee_hold": True, "limits": {"per_payment": "1000.00"}})
    world.submit(ORDER)
    world.submit("AP-2")
    world.submit("AP-3", valid_until=world.moment(60))
    world.submit("AP-4", 10_000_000)
    world.run(5)
    world.act(partial(Hold, reason="approval", cleared=("new_payee",)))
    world.run(1)
    world.act(partial(Release, send_after_ms=0))
    world.command("payment.cancel", {"id": "AP-2"})
    world.run(5)
    world.command("payment.cancel", {"id": ORDER})
    world.run(100)
    states = [world.state(id_) for id_ in ("AP-2", "AP-3", "AP-4")]
    assert states == ["cancelled", "expired", "rejected"]
    return world.ends("settled", "hold", "hold_again", "release", "cancel", "expire", "reject", "cancel_too_late")


@scene
def expiry_comes_too_late(folder: Path) -> World:
    """The send and the end of the order's validity fall into one commit."""
    world = SceneWorld(folder, [ScriptedFault(BankFault.DELAY, touch=ExchangeKind.MONEY, seconds=20.0)])
    world.submit(ORDER)
    world.run(5)
    world.act(Expire)
    world.run(60)
    return world.ends("settled", "send", "expire_moot")


@scene
def an_entry_speaks_before_the_send(folder: Path) -> World:
    """An entry of the account shows a payment that was never sent, so the lane does not send it."""
    world = SceneWorld(folder)
    pause(world)
    world.submit(ORDER)
    world.run(5)
    world.act(entry)
    world.run(5)
    assert world.life is not None
    world.life.gateway.lanes["sample.main"].resume("test")
    world.run(60)
    return world.ends("escalated", "unsent_known", sends=0, contradicted=True)


# ---- the send and its answer -------------------------------------------------------------------------------------


@scene
def the_permit_is_refused(folder: Path) -> World:
    world = SceneWorld(folder)
    no_permit(world)
    world.submit(ORDER)
    world.run(30)
    return world.ends("settled", "not_sent", "sent_settled")


@scene
def refused_at_once(folder: Path) -> World:
    world = SceneWorld(folder)
    world.submit(ORDER, purpose="货款 #refuse")
    world.run(30)
    return world.ends("failed", "sent_failed")


@scene
def a_heartbeat_without_answer(folder: Path) -> World:
    """A session without an answer is closed, and the payment goes over another one."""
    world = SceneWorld(folder, [ScriptedFault(BankFault.PROBE_SILENCE)])
    world.run(100)
    world.submit(ORDER)
    world.run(60)
    assert world.bank.simbank.tally.faults[BankFault.PROBE_SILENCE] == 1
    return world.ends("settled", "sent_settled")


@scene
def killed_while_sending(folder: Path) -> World:
    world = SceneWorld(folder, [ScriptedFault(BankFault.DELAY, touch=ExchangeKind.MONEY, seconds=20.0)])
    world.submit(ORDER)
    world.run(5)
    world.crash()
    world.start()
    world.run(60)
    return world.ends("settled", "taken_over", "asked_settled")


@scene
def silence_outlives_the_deadline(folder: Path) -> World:
    world = SceneWorld(
        folder,
        [ScriptedFault(BankFault.DELAY, touch=ExchangeKind.MONEY, seconds=100.0)],
        spans={**SPANS, "enquiry_deadline_s": 30.0},
    )
    world.submit(ORDER)
    world.run(200)
    world.run(3_600)
    return world.ends("settled", "overdue_sending", "silent_moot", "asked_settled")


def _dated_ahead(folder: Path, *faults: ScriptedFault) -> SceneWorld:
    """A clock two days ahead sends an order and gets no answer; then it is set right."""
    world = SceneWorld(folder, faults, rule=SAFE)
    assert world.life is not None
    world.life.clock.off_ms = 2 * 86_400_000
    world.submit(ORDER)
    while world.state(ORDER) != "in_doubt":
        world.run(0.1)
    world.life.clock.off_ms = 0
    return world


@scene
def dated_ahead_and_not_found(folder: Path) -> World:
    world = _dated_ahead(folder, ScriptedFault(BankFault.HIDE, seconds=60.0))
    world.run(3_600)
    return world.ends("settled", "dated_ahead", "asked_settled")


@scene
def dated_ahead_and_no_answer(folder: Path) -> World:
    world = _dated_ahead(folder, SILENT, NO_WORD, NO_WORD)
    world.run(3_600)
    return world.ends("settled", "dated_ahead_in_vain", "asked_settled")


@scene
def not_sent_after_all(folder: Path) -> World:
    """The deadline passes in the commit in which the permit turns out to have expired."""
    world = SceneWorld(folder)
    no_permit(world, meanwhile=lambda: world.act(Overdue))
    world.submit(ORDER)
    world.run(60)
    return world.ends("settled", "overdue_sending", "not_sent_overdue", "sent_settled")


@scene
def not_sent_and_an_entry_says_otherwise(folder: Path) -> World:
    """The permit of a repeat is refused in the commit in which an entry shows the first copy."""
    world = SceneWorld(folder, [HIDDEN], rule=SAFE)
    no_permit(world, 2, lambda: world.act(entry))
    world.submit(ORDER)
    world.run(400)
    return world.ends("settled", "replay", "not_sent_moot")


@scene
def overdue_in_the_moment_of_the_answer(folder: Path) -> World:
    world = SceneWorld(folder, [SILENT])
    world.submit(ORDER)
    world.run(60)
    world.act(Overdue)
    world.run(60)
    return world.ends("settled", "silent", "asked_settled", "overdue_moot")


@scene
def unlisted_code(folder: Path) -> World:
    world = SceneWorld(folder, says=chosen_verdicts(money=[Fate.UNKNOWN]))
    world.submit(ORDER)
    world.run(60)
    return world.ends("settled", "sent_unclear", "asked_settled")


# ---- words about a payment that is asked about -------------------------------------------------------------------


@scene
def a_bank_that_wavers(folder: Path) -> World:
    said = [Fate.PENDING, Fate.UNKNOWN, Fate.NOT_FOUND, Fate.UNKNOWN, Fate.NOT_FOUND, Fate.PENDING, None]
    world = SceneWorld(folder, says=chosen_verdicts(money=[Fate.PENDING], fate=said))
    world.submit(ORDER)
    world.run(900)
    return world.ends(
        "settled",
        "sent_pending",
        "still_pending",
        "pending_unclear",
        "pending_not_found",
        "doubt_unclear",
        "doubt_not_found",
        "asked_pending",
        "asked_settled",
    )


@scene
def refused_late(folder: Path) -> World:
    world = SceneWorld(folder, [NO_WORD])
    world.submit(ORDER, purpose="货款 #late-refuse")
    world.run(900)
    return world.ends("failed", "sent_pending", "asked_in_vain", "asked_failed")


@scene
def escalated_and_found(folder: Path) -> World:
    world = SceneWorld(
        folder, [ScriptedFault(BankFault.HIDE, seconds=1_000.0)], spans={**SPANS, "enquiry_deadline_s": 60.0}
    )
    world.submit(ORDER)
    world.run(200)
    assert world.state(ORDER) == "escalated"
    world.run(2 * 3_600)
    return world.ends("settled", "overdue", "asked_settled")


@scene
def money_comes_back(folder: Path) -> World:
    world = SceneWorld(folder)
    world.submit(ORDER, purpose="货款 #return")
    world.run(700)
    return world.ends("returned", "sent_settled", "returned")


@scene
def a_booking_is_taken_back(folder: Path) -> World:
    world = SceneWorld(
        folder,
        [ScriptedFault(BankFault.DROP_BEFORE, touch=ExchangeKind.ENQUIRY)],
        says=chosen_verdicts(fate=[None, Fate.REVERSED]),
    )
    world.submit(ORDER)
    world.run(2_500)
    assert {"watched_in_vain", "settled_again", "reversed"} <= set(world.rules()), world.rules()
    return world


# ---- late words --------------------------------------------------------------------------------------------------


def _late(
    folder: Path, resolved: Fate | None, word: Fate | None, *fast: Fate, slow: ScriptedFault = SLOW_WORD
) -> SceneWorld:
    """A payment in doubt, with a slow first enquiry. Two persons decide before the answer to it comes."""
    world = SceneWorld(folder, [SILENT, slow], says=chosen_verdicts(fate=[*fast, word]))
    world.submit(ORDER)
    world.run(6)
    pause(world)
    world.act(resolve(resolved))
    world.run(2)
    return world


def _late_scene(name: str, resolved: Fate | None, word: Fate | None, state: str, *rows: str, **more: Any) -> None:
    def tell(folder: Path) -> World:
        world = _late(folder, resolved, word)
        world.run(60)
        return world.ends(state, *rows, **more)

    tell.__name__ = name
    scene(tell)


_late_scene(
    "failed_by_persons_and_paid",
    Fate.FAILED,
    Fate.SETTLED,
    "failed",
    "resolved_failed",
    "failed_contradicted",
    contradicted=True,
    mistaken=True,
)
_late_scene("failed_by_persons_and_failed", Fate.FAILED, Fate.FAILED, "failed", "failed_again", mistaken=True)
_late_scene("failed_by_persons_and_not_found", Fate.FAILED, Fate.NOT_FOUND, "failed", "failed_old_news", mistaken=True)
_late_scene(
    "failed_by_persons_and_in_process_then", Fate.FAILED, Fate.PENDING, "failed", "failed_overtaken", mistaken=True
)
_late_scene(
    "settled_by_persons_and_settled", Fate.SETTLED, Fate.SETTLED, "settled", "resolved_settled", "settled_again"
)
_late_scene("settled_by_persons_and_not_found", Fate.SETTLED, Fate.NOT_FOUND, "settled", "settled_old_news")
_late_scene(
    "settled_by_persons_and_refused", Fate.SETTLED, Fate.FAILED, "settled", "settled_contradicted", contradicted=True
)
_late_scene(
    "let_go_by_persons_and_known", None, Fate.SETTLED, "settled", "resolved_resend", "unsent_known", contradicted=True
)
_late_scene("let_go_by_persons_and_unknown", None, Fate.NOT_FOUND, "ready", "resolved_resend", "unsent_unknown")


@scene
def persons_come_too_late(folder: Path) -> World:
    world = SceneWorld(folder)
    world.submit(ORDER)
    world.run(5)
    world.act(resolve(Fate.FAILED))
    world.run(5)
    return world.ends("settled", "resolve_denied")


@scene
def asked_in_vain_after_all_is_known(folder: Path) -> World:
    world = _late(
        folder, Fate.FAILED, None, slow=ScriptedFault(BankFault.DELAY, touch=ExchangeKind.ENQUIRY, seconds=150.0)
    )
    world.run(200)
    assert {"resolved_failed", "asked_in_vain_moot"} <= set(world.rules()), world.rules()
    return world


@scene
def let_go_by_persons_and_withdrawn(folder: Path) -> World:
    """The first copy is still in doubt: it cannot be withdrawn, and the bank's answer about it stops the second
    send."""
    world = _late(folder, None, Fate.SETTLED)
    world.command("payment.cancel", {"id": ORDER})
    world.run(60)
    return world.ends("settled", "resolved_resend", "cancel_too_late", "unsent_known", contradicted=True)


@scene
def let_go_by_persons_and_out_of_time(folder: Path) -> World:
    """The time for the second send ends while the lane is paused: no event says that no money moved."""
    world = SceneWorld(folder, [ScriptedFault(BankFault.HIDE, seconds=60.0)])
    world.submit(ORDER, valid_until=world.moment(120))
    world.run(10)
    pause(world)
    world.act(resolve(None))
    world.run(120)
    assert "payment.expired" not in world.told(ORDER)
    world.run(2 * 3_600)
    return world.ends("settled", "resolved_resend", "resend_expired", "asked_settled")


@scene
def let_go_by_persons_and_not_to_be_said(folder: Path) -> World:
    """The bank's form cannot carry the order any more: the bank is asked about the first copy, and no person has to
    clear a hold."""

    def unsayable(bank: Bank) -> Bank:
        bank = replaying(bank, NEVER)
        pay = bank.money[Kind.PAYMENT]

        def word(order: AnyOrder, context: Context) -> MoneyConversation:
            if context.attempt > 1:
                raise ProtocolError("value", "this cannot be said in the bank's language any more")
            return (yield from pay(order, context))

        return replace(bank, money={**bank.money, Kind.PAYMENT: word})

    world = SceneWorld(folder, [ScriptedFault(BankFault.HIDE, seconds=60.0)], adapters={"sample": unsayable})
    world.submit(ORDER)
    world.run(10)
    world.act(resolve(None))
    world.run(10)
    assert world.state(ORDER) == "escalated" and "payment.held" not in world.told(ORDER)
    world.run(2 * 3_600)
    return world.ends("settled", "resolved_resend", "resend_held", "asked_settled")


def _withdrawn(folder: Path, word: Callable[[int], Event]) -> SceneWorld:
    """The ERP withdraws the order before its send; then an answer about it comes."""
    world = SceneWorld(folder)
    pause(world)
    world.submit(ORDER)
    world.run(2)
    world.command("payment.cancel", {"id": ORDER})
    world.run(2)
    world.act(word)
    world.run(60)
    return world


@scene
def withdrawn_and_known(folder: Path) -> World:
    return _withdrawn(folder, entry).ends("cancelled", "ended_known", sends=0, contradicted=True)


@scene
def withdrawn_and_unknown(folder: Path) -> World:
    world = _withdrawn(folder, lambda at_ms: Answered(at_ms, Fate.NOT_FOUND, Source.ENQUIRY, at_ms))
    return world.ends("cancelled", "ended_unknown", sends=0)


def _back(folder: Path, word: Fate) -> SceneWorld:
    """Persons settle the payment, then the returns watch finds a return, and the slow first answer comes last."""
    world = _late(folder, Fate.SETTLED, word, Fate.RETURNED)
    world.ask_now(Work.RETURNS)
    world.run(60)
    assert world.state(ORDER) == "returned"
    return world


@scene
def came_back_and_settled_once(folder: Path) -> World:
    world = _back(folder, Fate.SETTLED)
    assert "back_again" in world.rules()
    return world


@scene
def came_back_and_refused(folder: Path) -> World:
    world = _back(folder, Fate.FAILED)
    assert "back_contradicted" in world.rules() and "payment.correction" in world.told(ORDER)
    return world


# ---- several lives -----------------------------------------------------------------------------------------------


@scene
def two_nodes_over_one_journal(folder: Path) -> World:
    """Both nodes accept orders, and the lane's owner sends them all. The owner is suspended, the other node takes over,
    and the owner resumes."""
    world = World(folder, settings={"journal": {"poll_ms": 250}}, spans=SPANS)
    first = world.start("gw1")
    world.run(5)
    second = world.start("gw2")
    world.run(5)
    for n in range(6):
        world.submit(f"AP-{n}")
    world.run(30)
    lanes = [life.gateway.lanes["sample.main"] for life in (first, second)]
    assert [lane.standing_by for lane in lanes] == [False, True]
    assert [world.state(f"AP-{n}") for n in range(6)] == ["settled"] * 6
    world.bank.simbank.script.add(ScriptedFault(BankFault.DELAY, touch=ExchangeKind.MONEY, seconds=30.0))
    world.submit("AP-6")
    while world.state("AP-6") != "sending":
        world.run(0.5)
    first.clock.freeze()
    world.run(60)
    written = [len(pipe.written) for pipe in first.pipes]
    first.clock.thaw()
    world.run(1)
    late = [data for pipe, n in zip(first.pipes, written, strict=True) for data in pipe.written[n:]]
    assert not any(b"<Operation>Pay<" in data for data in late), "a zombie sends no payment"
    world.run(120)
    assert [lane.standing_by for lane in lanes] == [True, False]
    assert world.state("AP-6") == "settled" and "taken_over" in world.rules()
    assert violations(world) == [] and first.fatal + second.fatal == []
    return world


@scene
def a_database_from_the_past(folder: Path) -> World:
    """The journal of an hour ago is restored: nothing is sent, although the ERP publishes its order again."""
    world = SceneWorld(folder)
    world.leave()
    kept = folder / "kept.db"
    shutil.copy(folder / "journal.db", kept)
    world.start()
    world.run(3)
    world.submit(ORDER)
    world.run(30)
    assert world.state(ORDER) == "settled"
    world.leave()
    for file in folder.glob("journal.db*"):
        file.unlink()
    shutil.copy(kept, folder / "journal.db")
    life = world.start()
    world.run(3)
    world.again(ORDER, fresh=True)
    world.run(120)
    assert world.state(ORDER) is None, "the virtual host is held by a life that this database does not know"
    world.broker.delete(MARK_QUEUE)
    world.run(120)
    assert life.gateway.safe_mode.reason and world.state(ORDER) == "ready"
    assert world.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == 1 and not world.bank.ledger.doubles()
    return world


@scene
def a_lost_permit_log(folder: Path) -> World:
    """The permit log is lost: nothing is sent until two persons release the lane."""
    world = SceneWorld(folder)
    world.submit("AP-0")
    world.run(30)
    assert world.state("AP-0") == "settled"
    world.leave()
    shutil.rmtree(world.permit_folder(world.node))
    life = world.start()
    world.run(3)
    world.submit(ORDER)
    world.run(60)
    assert (bool(life.gateway.safe_mode.reason), world.state(ORDER)) == (True, "ready")
    between.let_go(world)
    world.run(60)
    assert (bool(life.gateway.safe_mode.reason), world.state(ORDER)) == (False, "settled")
    assert violations(world) == [] and life.fatal == []
    return world


@scene
def mail_of_a_dead_node(folder: Path) -> World:
    """A node publishes the waiting messages of a node that has died."""
    world = World(folder, settings={"journal": {"poll_ms": 250}}, spans=SPANS)
    first = world.start("gw1")
    world.run(5)
    second = world.start("gw2")
    world.run(5)
    world.broker.queues["bankgw.commands.money"].clear()
    second.amqp.drop(away_s=5.0)
    world.submit(ORDER)
    while world.state(ORDER) is None:
        world.run(0.0005)
    first.amqp.drop(away_s=1_000.0)
    world.run(10)
    assert untold(world) > 0
    first.crash()
    world.run(120)
    assert untold(world) == 0 and world.told(ORDER)[-1] == "payment.settled"
    assert violations(world) == [] and second.fatal == []
    return world
