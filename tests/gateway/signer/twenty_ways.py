"""Twenty ways in which a daemon that was taken over tries to get a signature for what the journal does not admit.

    python -m tests.gateway.signer.twenty_ways

Between them honest payments are signed, so that a signer that signs nothing fails too. The last line is the result.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, update

from gateway.bank.signer_frames import REQUEST_MAX
from gateway.kernel.cluster import lane_pauses
from gateway.kernel.commit import payment_rows
from gateway.kernel.core.states import Cancel
from gateway.kernel.sql import schema
from protocols.bank import Sign
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from tests.gateway.kernel.bench import LANE, NOW_MS, hold, order
from tests.gateway.signer.patched_daemon import KEY, OTHER_KEY, SignerSite, later, renewed, short_folder

_P = schema.payments.c
_OTHER = AccountNumber("0000000000000000666")
Way = Callable[[SignerSite], Awaitable[tuple[Sign, str]]]


async def other_amount(site: SignerSite) -> tuple[Sign, str]:
    row = site.ready()
    return site.pay(replace(row.order, amount=Money(row.order.amount.minor + 1)), row.bank_ref), KEY


async def other_payee(site: SignerSite) -> tuple[Sign, str]:
    row = site.ready()
    return site.pay(replace(row.order, creditor=replace(row.order.creditor, account=_OTHER)), row.bank_ref), KEY


async def other_bank_of_the_payee(site: SignerSite) -> tuple[Sign, str]:
    row = site.ready()
    return site.pay(replace(row.order, creditor=replace(row.order.creditor, cnaps="0" * 11 + "1")), row.bank_ref), KEY


async def other_account_of_ours(site: SignerSite) -> tuple[Sign, str]:
    row = site.ready()
    return site.pay(replace(row.order, debtor=replace(row.order.debtor, account=_OTHER)), row.bank_ref), KEY


async def other_currency(site: SignerSite) -> tuple[Sign, str]:
    row = site.ready()
    return site.pay(replace(row.order, amount=Money(row.order.amount.minor, "USD")), row.bank_ref), KEY


async def twice_with_another_body(site: SignerSite) -> tuple[Sign, str]:
    """The row is rewritten with the vault's key, as only the daemon could, after its message was signed."""
    row = site.ready()
    assert not await site.refusal(site.pay(row.order, row.bank_ref)), "the honest message is signed"
    forged = replace(row, order=replace(row.order, creditor=replace(row.order.creditor, account=_OTHER)))
    indexes = {"dup_key": None, "debtor_idx": "d", "creditor_idx": "c"}
    values = payment_rows.columns(forged, indexes, site.vault)
    with site.journal.stranger() as conn:
        conn.execute(update(schema.payments).where(_P.payment == row.payment).values(values))
    return site.pay(forged.order, row.bank_ref), KEY


async def unapproved(site: SignerSite) -> tuple[Sign, str]:
    row = site.journal.admit(order("AP-1"), judged=hold).row
    return site.pay(row.order, row.bank_ref), KEY


async def expired(site: SignerSite) -> tuple[Sign, str]:
    until = datetime.fromtimestamp(NOW_MS / 1000, UTC) + timedelta(minutes=5)
    row = site.ready(valid_until=until)
    later(site.clock, timedelta(minutes=5))
    return site.pay(row.order, row.bank_ref), KEY


async def cancelled(site: SignerSite) -> tuple[Sign, str]:
    row = site.ready()
    site.journal.apply(row.payment, Cancel(NOW_MS), epoch=None)
    return site.pay(row.order, row.bank_ref), KEY


async def key_of_another_lane(site: SignerSite) -> tuple[Sign, str]:
    row = site.ready()
    return site.pay(row.order, row.bank_ref), OTHER_KEY


async def random_octets_as_a_sign_on(site: SignerSite) -> tuple[Sign, str]:
    good = site.sign_on()
    return Sign("order", bytes(range(256)), good.document), KEY


async def row_altered_without_the_key(site: SignerSite) -> tuple[Sign, str]:
    row = site.journal.admit(order("AP-1"), judged=hold).row
    freed = {"state": "ready", "hold_reason": None, "hold_reasons": None, "hold_cleared": "approval"}
    with site.journal.stranger() as conn:
        conn.execute(update(schema.payments).where(_P.payment == row.payment).values(freed))
    return site.pay(row.order, row.bank_ref), KEY


async def row_inserted_without_the_key(site: SignerSite) -> tuple[Sign, str]:
    row = site.ready()
    twin = replace(row, payment=row.payment[:-1] + "Z", bank_ref="FORGED00000000000001", order=order("AP-2"))
    values = payment_rows.columns(twin, {"dup_key": None, "debtor_idx": "d", "creditor_idx": "c"}, site.vault)
    with site.journal.stranger() as conn:
        conn.execute(insert(schema.payments).values({**values, "seal": None}))
    return site.pay(twin.order, twin.bank_ref), KEY


async def over_the_ceiling(site: SignerSite) -> tuple[Sign, str]:
    first, second = site.ready("AP-1", minor=60_000_000), site.ready("AP-2", minor=60_000_000)
    assert not await site.refusal(site.pay(first.order, first.bank_ref)), "the first one is under the ceiling"
    return site.pay(second.order, second.bank_ref), KEY


async def unknown_reference(site: SignerSite) -> tuple[Sign, str]:
    row = site.ready()
    return site.pay(row.order, "KX000000000000000001"), KEY


async def batch_with_one_more_line(site: SignerSite) -> tuple[Sign, str]:
    bundle, rows = site.bundle()
    more = replace(rows[0], bank_ref="KX000000000000000002")
    return site.pay_together((*rows, more), bundle.bank_ref), KEY


async def batch_with_another_sum(site: SignerSite) -> tuple[Sign, str]:
    bundle, rows = site.bundle()
    good = site.pay_together(rows, bundle.bank_ref)
    return renewed(good, good.document.replace(b"<Sum>3.00</Sum>", b"<Sum>9.00</Sum>")), KEY


async def another_encoding(site: SignerSite) -> tuple[Sign, str]:
    """In GBK a byte of a character may be a sign of XML in another reading."""
    row = site.ready()
    good = site.pay(row.order, row.bank_ref)
    text = '<?xml version="1.0" encoding="GBK"?>' + good.document.decode()
    return renewed(good, text.encode("gbk")), KEY


async def replay_of_an_old_attempt(site: SignerSite) -> tuple[Sign, str]:
    row = site.ready()
    step = site.pay(row.order, row.bank_ref)
    assert not await site.refusal(step), "the honest message is signed"
    site.journal.send(row)
    return step, KEY


async def payment_of_a_stopped_lane(site: SignerSite) -> tuple[Sign, str]:
    row = site.ready()
    site.journal.do(lambda tx: lane_pauses.say(tx, LANE, "uid:li", paused=True, detail={"reason": "fraud?"}))
    return site.pay(row.order, row.bank_ref), KEY


async def oversized_frame(site: SignerSite) -> tuple[Sign, str]:
    row = site.ready()
    step = site.pay(row.order, row.bank_ref)
    return Sign("order", step.octets, step.document + b" " * REQUEST_MAX), KEY


WAYS: tuple[Way, ...] = (
    other_amount,
    other_payee,
    other_bank_of_the_payee,
    other_account_of_ours,
    other_currency,
    twice_with_another_body,
    unapproved,
    expired,
    cancelled,
    key_of_another_lane,
    random_octets_as_a_sign_on,
    row_altered_without_the_key,
    row_inserted_without_the_key,
    over_the_ceiling,
    unknown_reference,
    batch_with_one_more_line,
    batch_with_another_sum,
    another_encoding,
    replay_of_an_old_attempt,
    payment_of_a_stopped_lane,
)
REASONS = {
    "other_amount": "differs",
    "other_payee": "differs",
    "other_bank_of_the_payee": "differs",
    "other_account_of_ours": "differs",
    "other_currency": "differs",
    "twice_with_another_body": "another_message",
    "unapproved": "not_ready",
    "expired": "expired",
    "cancelled": "not_ready",
    "key_of_another_lane": "unknown_reference",
    "random_octets_as_a_sign_on": "unreadable",
    "row_altered_without_the_key": "altered",
    "row_inserted_without_the_key": "altered",
    "over_the_ceiling": "over_ceiling",
    "unknown_reference": "unknown_reference",
    "batch_with_one_more_line": "differs",
    "batch_with_another_sum": "unreadable",
    "another_encoding": "unreadable",
    "replay_of_an_old_attempt": "not_ready",
    "payment_of_a_stopped_lane": "stopped",
}
"""Why each of them is refused: a refusal for another reason would show nothing about this way."""


async def try_way(way: Way, make_site: Callable[[], SignerSite]) -> str:
    """Try one way at a site of its own, and then an honest sign-on. Returns the reason of the refusal; "" if it was
    signed."""
    site = make_site()
    try:
        step, key = await way(site)
        why = await site.refusal(step, key)
        site.clock.at_ms += 1
        honest = await site.refusal(site.sign_on())
        assert not honest, f"the honest sign-on was refused: {honest}"
        return why
    finally:
        await site.close()


async def _all(reactor: Any) -> None:
    from gateway.kernel.sql import migrations
    from gateway.simbank.pki import make_pki

    signed = 0
    with short_folder() as top:
        pki = make_pki(top, ["sample"], datetime.now(UTC))["sample"]
        for number, way in enumerate(WAYS):
            folder = top / str(number)
            folder.mkdir()
            url = f"sqlite:///{folder / 'journal.db'}"
            migrations.upgrade(url)
            why = await try_way(way, lambda: SignerSite(folder, reactor, url, pki=pki))  # noqa: B023 - called at once
            signed += not why
            print(f"{way.__name__.replace('_', ' ')}: {why or 'SIGNED'}")
    print(f"{len(WAYS)} ways, {signed} signed", flush=True)
    if signed:
        sys.exit(1)


if __name__ == "__main__":
    import io

    from twisted.internet.defer import Deferred
    from twisted.internet.task import react

    from gateway.kernel import log
    from protocols.kit import dsig

    log.start(stream=io.StringIO())
    dsig.start()
    react(lambda reactor: Deferred.fromCoroutine(_all(reactor)))
