"""Proposals of the older and the present form on a whole gateway: both are carried out, and neither is accepted in
place of the other."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.control import proposal_text
from gateway.control.proposal_text import PlannedAction, ProposedAction
from gateway.kernel.commit.store import Tx
from gateway.people.rows import persons, proposals
from gateway.people.rows.proposals import Proposal, ProposalKind, Role, to_sign
from gateway.people.rules import signed_text
from gateway.people.rules.signed_text import FORM
from gateway.simbank.faults import BankFault
from tests.gateway.cli.control_operator import VALID_MS, Operator
from tests.gateway.cli.resolving import LETTER, LI, WANG, approval, approve, doubtful, draft, made_of, propose, wish
from tests.world.world import World

Alter = Callable[[str], str]
Doubt = tuple[World, Operator, str]


@pytest.fixture
def doubt(tmp_path: Path) -> Iterator[Doubt]:
    """A payment in doubt that the bank does not know; WANG and LI may decide it."""
    made = doubtful(tmp_path, BankFault.DROP_BEFORE)
    yield made
    if made[0].life is not None:
        made[0].crash()


def unchanged(text: str) -> str:
    return text


def stored(operator: Operator, payment: str, form: int, kept: Alter = unchanged, signed: Alter = unchanged) -> str:
    """A proposal stored in the journal, as a version that makes this form stores it. `kept` alters its text, and
    `signed` the text that WANG signed."""
    wanted = ProposedAction(ProposalKind.RESOLVE, payment, "failed", "letter of 24 Nov", proposal_text.sha256(LETTER))

    def store_unit(tx: Tx) -> str:
        person = persons.of_name(tx.fresh, WANG.name)
        assert person is not None
        key, until_ms = tx.entropy.ulid(tx.now_ms), tx.now_ms + VALID_MS
        planned = proposal_text.action(tx, wanted, key, person, until_ms, operator.ports.decisions, form)
        assert isinstance(planned, PlannedAction)
        text = planned.action.text()
        octets = WANG.key.sign(to_sign(signed_text.digest(signed(text)), Role.PROPOSE))
        first = proposals.signature_of(person, octets)
        made = Proposal(
            key, wanted.kind, payment, wanted.to, wanted.note, LETTER, kept(text), first, tx.now_ms, until_ms
        )
        assert proposals.store_proposal(tx, made, "uid:2001")
        return key

    found: list[Any] = []
    operator.gateway.parts.store.write(store_unit).addBoth(found.append)
    operator.world.run(0.1)
    assert isinstance(found[0], str), found
    return found[0]


def refused(operator: Operator, code: str, proposal: str, **changed: Any) -> str:
    said = {**approval(operator, LI, proposal), **changed}
    return operator.no(409, code, "POST", "proposals", proposal, "approve", peer=LI.peer, **said)


def other_form(form: int) -> Alter:
    """The heading of the other form above the same lines."""
    here, there = f"bankgw action {form}\n", f"bankgw action {3 - form}\n"
    return lambda text: text.replace(here, there)


def otherwise(text: str) -> str:
    """A text whose Chinese half says that the payment was made, and whose English half says that it was not."""
    changed = text.replace("决定：failed（未支付）", "决定：failed（已支付）").replace(
        "裁定为未支付，不再发送", "裁定为银行已支付"
    )
    assert changed != text
    return changed


@pytest.mark.parametrize("form", [1, FORM])
def test_a_proposal_that_is_open_over_an_upgrade_is_approved_in_its_own_form(doubt: Doubt, form: int) -> None:
    world, operator, payment = doubt
    key = stored(operator, payment, form)
    world.crash()
    world.start()
    world.run(2)
    operator = Operator(world)
    shown = operator.ask("GET", "proposals", key)
    assert shown["text"].startswith(f"bankgw action {form}\n") and shown["state"] == "open"
    assert ("决定：failed" in shown["text"]) is (form == FORM)
    assert approve(operator, LI, key)["state"] == "done"
    world.run(2)
    assert world.last("AP-1")["state"] == "failed"


def test_what_is_proposed_now_is_signed_in_both_languages_by_both(doubt: Doubt) -> None:
    _world, operator, payment = doubt
    key = propose(operator, WANG, payment, "failed")
    texts = {operator.ask("GET", "proposals", key, peer=one.peer)["text"] for one in (WANG, LI)}
    (text,) = texts
    assert signed_text.form_of(text) == FORM and "\neffect: " in text and "\n签署后的效果：" in text
    assert approve(operator, LI, key)["digest"] == signed_text.digest(text)


@pytest.mark.parametrize("form", [1, FORM])
def test_a_text_of_one_form_does_not_pass_for_the_other(doubt: Doubt, form: int) -> None:
    world, operator, payment = doubt
    # Somebody with the vault's key exchanged the heading: the first signature does not fit.
    assert "does not fit" in refused(operator, "altered", stored(operator, payment, form, kept=other_form(form)))
    # The first person signed the exchanged heading: the text that is made anew in that form is another one.
    both = other_form(form)
    assert "moved on" in refused(operator, "stale", stored(operator, payment, form, kept=both, signed=both))
    # The second person signs the digest of the other form.
    key = stored(operator, payment, form)
    digest = signed_text.digest(other_form(form)(operator.ask("GET", "proposals", key)["text"]))
    refused(operator, "altered", key, digest=digest, signature=LI.sign(digest, Role.APPROVE))
    world.run(2)
    assert world.last("AP-1")["state"] == "in_doubt"


def test_an_altered_chinese_half_breaks_the_signature(doubt: Doubt) -> None:
    world, operator, payment = doubt
    assert "does not fit" in refused(operator, "altered", stored(operator, payment, FORM, kept=otherwise))
    # Both persons signed it, in good faith: it is not the text of what would be done.
    key = stored(operator, payment, FORM, kept=otherwise, signed=otherwise)
    assert "moved on" in refused(operator, "stale", key)
    # The first person is shown another Chinese half than the daemon drafted.
    wanted = wish(payment, "failed")
    drafted = draft(operator, WANG, wanted)
    digest = signed_text.digest(otherwise(drafted["text"]))
    made = made_of({**drafted, "digest": digest}, WANG, wanted)
    operator.no(409, "stale", "POST", "proposals", peer=WANG.peer, **made)
    world.run(2)
    assert world.last("AP-1")["state"] == "in_doubt"


def test_a_draft_is_never_kept_in_the_older_form(doubt: Doubt) -> None:
    _world, operator, payment = doubt
    wanted = wish(payment, "failed")
    drafted = draft(operator, WANG, wanted)
    person_key = next(line for line in drafted["text"].split("\n") if line.startswith("proposed-by-key: "))
    lines = drafted["text"].split("\n\n")[0].split("\n")
    older = "\n".join(["bankgw action 1", *lines[2:]]) + "\n"
    assert person_key in older and signed_text.form_of(older) == 1
    made = made_of({**drafted, "digest": signed_text.digest(older)}, WANG, wanted)
    operator.no(409, "stale", "POST", "proposals", peer=WANG.peer, **made)


def test_a_text_of_a_newer_version_is_not_approved_here(doubt: Doubt) -> None:
    _world, operator, payment = doubt

    def newer(text: str) -> str:
        return text.replace("bankgw action 2", "bankgw action 3")

    key = stored(operator, payment, FORM, kept=newer, signed=newer)
    assert "by a version of bankgw" in refused(operator, "stale", key)
    operator.ask("POST", "proposals", key, "withdraw", peer=WANG.peer, reason="made there")


def test_a_row_whose_text_was_exchanged_without_the_vaults_key_is_altered(doubt: Doubt) -> None:
    world, operator, payment = doubt
    first, second = stored(operator, payment, 1), stored(operator, payment, FORM)
    with sqlite3.connect(world.folder / "journal.db") as db:
        body = db.execute("select body from proposals where proposal = ?", (first,)).fetchone()[0]
        db.execute("update proposals set body = ? where proposal = ?", (body, second))
    shown = operator.ask("GET", "proposals", second)
    assert (shown["state"], shown["text"]) == ("altered", "")
