"""What an honest daemon gets signed, and what the signer does besides: counts, ceilings, its log, its peers."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from sqlalchemy import delete
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, Protocol

from gateway.bank.key_trouble import NotSigned
from gateway.bank.outside_signer import RETRY_S
from gateway.bank.signer_frames import REQUEST_MAX
from gateway.control.offline.signature_log import PaymentSignature, QuestionSignature, read_signatures
from gateway.kernel.cluster import stops
from gateway.kernel.core.states import Cancel, NotSent
from gateway.kernel.sql import schema
from gateway.signer.process import FOLDER, SignerNotStarted, SignerProcess
from gateway.signer.signer_file import BadSignerFile, SignerFile, read_signer_file
from protocols.bank import Sign
from protocols.canon.money import Money
from tests.gateway.kernel.bench import LANE, NOW_MS
from tests.gateway.signer.patched_daemon import KEY, SignerSite, later, renewed

MakeSite = Callable[..., SignerSite]


def signatures(site: SignerSite) -> list[Any]:
    return list(read_signatures(site.file.state_dir / FOLDER, site.vault))


# ---- what is signed ----


async def test_an_honest_payment_is_signed_with_a_signature_that_verifies(make_site: MakeSite) -> None:
    site = make_site()
    row = site.ready()
    step = site.pay(row.order, row.bank_ref)
    signer = site.signer()
    signature = await signer.sign(step.octets, step.document)
    public: Any = signer.certificate.public_key()
    public.verify(signature, step.octets, padding.PKCS1v15(), hashes.SHA256())
    [logged] = signatures(site)
    assert isinstance(logged, PaymentSignature)
    assert (logged.lane, logged.reference, logged.attempt) == (LANE, row.bank_ref, 1)
    assert (logged.kind, logged.currency, logged.amount_minor) == ("payment", "CNY", row.order.amount.minor)
    await site.close()


async def test_an_honest_batch_is_signed_with_a_line_for_each_payment(make_site: MakeSite) -> None:
    site = make_site()
    bundle, rows = site.bundle((100, 200, 300))
    assert await site.refusal(site.pay_together(rows, bundle.bank_ref)) == ""
    assert [one.reference for one in signatures(site)] == [row.bank_ref for row in rows]
    await site.close()


async def test_a_batch_is_signed_without_the_order_that_was_cancelled_since(make_site: MakeSite) -> None:
    site = make_site()
    bundle, rows = site.bundle((100, 200, 300))
    site.journal.apply(rows[1].payment, Cancel(NOW_MS), epoch=None)
    assert "other payments" in await site.refusal(site.pay_together(rows, bundle.bank_ref))
    assert await site.refusal(site.pay_together((rows[0], rows[2]), bundle.bank_ref)) == ""
    await site.close()


async def test_questions_are_signed_while_the_journal_is_away(make_site: MakeSite) -> None:
    site = make_site()
    Path(site.folder, "journal.db").rename(site.folder / "gone.db")
    site.process._journal._engine.dispose()
    assert await site.refusal(site.sign_on()) == ""
    [logged] = signatures(site)
    assert isinstance(logged, QuestionSignature) and logged.operation == "SignOn"
    await site.close()


async def test_an_order_that_was_not_sent_is_signed_again_for_its_next_attempt(make_site: MakeSite) -> None:
    site = make_site()
    row = site.ready()
    assert await site.refusal(site.pay(row.order, row.bank_ref)) == ""
    site.journal.send(row)
    site.journal.apply(row.payment, NotSent(NOW_MS, "gone", NOW_MS, 1))
    assert await site.refusal(site.pay(row.order, row.bank_ref)) == ""
    assert [one.attempt for one in signatures(site)] == [1, 2]
    await site.close()


# ---- what is refused besides the twenty ways ----


async def test_a_sign_on_with_a_payment_inside_is_refused(make_site: MakeSite) -> None:
    site = make_site()
    good = site.sign_on()
    for more in (b"<Amount>1.00</Amount></Body>", b"<!-- x --></Body>", b"<Pay></Pay></Body>"):
        document = good.document.replace(b"</Body>", more)
        assert "unreadable" in await site.refusal(renewed(good, document)), more
    await site.close()


async def test_octets_of_another_message_are_refused(make_site: MakeSite) -> None:
    site = make_site()
    row = site.ready()
    bad, good = site.pay(replace(row.order, amount=Money(1)), row.bank_ref), site.pay(row.order, row.bank_ref)
    assert "unreadable" in await site.refusal(Sign("order", bad.octets, good.document))
    assert "unreadable" in await site.refusal(Sign("order", good.octets, b""))
    await site.close()


async def test_an_amount_with_a_comment_inside_is_refused(make_site: MakeSite) -> None:
    site = make_site()
    row = site.ready()
    good = site.pay(row.order, row.bank_ref)
    assert "unreadable" in await site.refusal(renewed(good, good.document.replace(b"<Amount>1", b"<Amount>1<!---->")))
    await site.close()


async def test_everything_stopped_stops_payments_and_no_question(make_site: MakeSite) -> None:
    site = make_site()
    row = site.ready()
    site.journal.do(lambda tx: stops.say(tx, "uid:li", "fraud?", stopped=True))
    assert "stopped" in await site.refusal(site.pay(row.order, row.bank_ref))
    assert await site.refusal(site.sign_on()) == ""
    await site.close()


async def test_a_stop_that_was_deleted_by_sql_is_a_stop(make_site: MakeSite) -> None:
    site = make_site()
    row = site.ready()
    site.journal.do(lambda tx: stops.say(tx, "uid:li", "fraud?", stopped=True))
    with site.journal.stranger() as conn:
        conn.execute(delete(schema.stops))
    assert "stopped" in await site.refusal(site.pay(row.order, row.bank_ref))
    await site.close()


async def test_one_attempt_is_signed_so_often_and_no_more(make_site: MakeSite) -> None:
    site = make_site(signatures_per_attempt=2)
    row = site.ready()
    told = [await site.refusal(site.pay(row.order, row.bank_ref)) for _ in range(3)]
    assert told[:2] == ["", ""] and "too_many" in told[2]
    await site.close()


async def test_a_kind_without_a_ceiling_is_not_signed(make_site: MakeSite) -> None:
    site = make_site()
    ceilings: Any = site.file.keys[KEY].daily
    ceilings.clear()
    row = site.ready()
    assert "kind_not_signed" in await site.refusal(site.pay(row.order, row.bank_ref))
    await site.close()


async def test_the_ceiling_counts_an_order_once_and_begins_anew_each_day(make_site: MakeSite) -> None:
    site = make_site()
    first, second = site.ready("AP-1", minor=60_000_000), site.ready("AP-2", minor=60_000_000)
    for _ in range(2):
        assert await site.refusal(site.pay(first.order, first.bank_ref)) == ""
    assert "over_ceiling" in await site.refusal(site.pay(second.order, second.bank_ref))
    later(site.clock, timedelta(days=1))
    assert await site.refusal(site.pay(second.order, second.bank_ref)) == ""
    await site.close()


async def test_what_was_signed_counts_after_a_restart(make_site: MakeSite) -> None:
    site = make_site()
    first, second = site.ready("AP-1", minor=60_000_000), site.ready("AP-2", minor=60_000_000)
    assert await site.refusal(site.pay(first.order, first.bank_ref)) == ""
    await site.end_process()
    site.start()
    assert "over_ceiling" in await site.refusal(site.pay(second.order, second.bank_ref))
    await site.close()


async def test_questions_have_a_ceiling_too(make_site: MakeSite) -> None:
    site = make_site()
    table = site.file.keys[KEY]
    object.__setattr__(table, "questions_per_day", 2)
    told = [await site.refusal(site.sign_on()) for _ in range(3)]
    assert told[:2] == ["", ""] and "over_ceiling" in told[2]
    await site.close()


async def test_nothing_is_signed_that_cannot_be_logged(make_site: MakeSite) -> None:
    site = make_site()
    row = site.ready()
    site.process._book._handle = os.open("/dev/full", os.O_WRONLY)
    site.process._book._day, site.process._book._headed = "999999", True
    assert "log_unwritable" in await site.refusal(site.pay(row.order, row.bank_ref))
    assert "log_unwritable" in await site.refusal(site.sign_on())
    await site.close()


# ---- the socket ----


async def test_another_users_process_is_not_answered(make_site: MakeSite) -> None:
    site = make_site(uid_of=lambda _transport: 12_345)
    row = site.ready()
    step = site.pay(row.order, row.bank_ref)
    with pytest.raises(NotSigned) as told:
        await site.signer().sign(step.octets, step.document)
    assert told.value.trouble.reason == "signer_away"
    assert signatures(site) == []
    await site.close()


async def test_an_oversized_message_never_leaves_the_daemon(make_site: MakeSite) -> None:
    site = make_site()
    step = site.sign_on()
    assert "over the limit" in await site.refusal(Sign("order", step.octets, b" " * REQUEST_MAX))
    await site.close()


@pytest.mark.parametrize("sent", [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\4abcd", b"GET / HTTP/1.1\r\n\r\n"])
async def test_what_is_no_frame_ends_the_connection(sent: bytes, make_site: MakeSite) -> None:
    site = make_site()
    ended: Deferred[bytes] = Deferred()

    class Stranger(Protocol):
        def connectionMade(self) -> None:
            assert self.transport is not None
            self.transport.write(sent)

        def connectionLost(self, reason: Any = None) -> None:
            ended.callback(b"")

    factory = ClientFactory()
    factory.protocol = Stranger
    site.reactor.connectUNIX(str(site.file.socket), factory)
    await ended
    assert await site.refusal(site.sign_on()) == "", "others are answered all the same"
    await site.close()


async def test_a_signer_that_is_away_is_trouble_and_comes_back_by_itself(make_site: MakeSite) -> None:
    site = make_site()
    row = site.ready()
    signer = site.signer()
    step = site.pay(row.order, row.bank_ref)
    assert await signer.sign(step.octets, step.document)
    await site.end_process()
    with pytest.raises(NotSigned) as told:
        await signer.sign(step.octets, step.document)
    assert (told.value.reason, told.value.trouble.reason) == ("key_gone", "signer_away")
    site.start()
    signer._retry_s -= RETRY_S
    assert await signer.sign(step.octets, step.document) and signer.trouble is None
    await site.close()


async def test_the_random_octets_of_the_daemons_self_test_are_refused_and_the_key_is_well(make_site: MakeSite) -> None:
    site = make_site()
    signer = site.signer()
    await signer.sign_when_due(b"n" * 32, 0.0)
    assert signer.trouble is None and signatures(site) == []
    await site.close()


# ---- the settings ----


def settings(**changed: Any) -> dict[str, Any]:
    key = {
        "bank": "sample",
        "lane": "sample.main",
        "source": {"certificate": "c.pem", "key": {"file": "k.pem"}},
        "daily": {"payment": "10.00"},
    }
    return {"journal": {"url": "sqlite:///j.db", "vault_key": {"file": "v"}}, "keys": {"k": {**key, **changed}}}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"bank": "pab"}, "cannot be read back"),
        ({"source": {"certificate": "c", "signer": {"socket": "s", "name": "n"}}}, "has `key` or `pkcs11`"),
        ({"daily": {"payment": "1.234"}}, "daily.payment"),
        ({"daily": {"gift": "1.00"}}, "daily.gift"),
        ({"lane": "a b"}, "lane"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_with_the_reason(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        SignerFile.model_validate(settings(**changed))


def test_the_file_is_read_with_paths_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "signer.toml"
    path.write_text(
        '[journal]\nurl = "sqlite:///j.db"\nvault_key = { file = "v" }\n[keys.k]\nbank = "sample"\nlane = "a.b"\n'
        '[keys.k.source]\ncertificate = "c.pem"\nkey = { file = "k.pem" }\n[keys.k.daily]\npayment = "1.00"\n'
    )
    found = read_signer_file(path)
    assert found.keys["k"].source.certificate == tmp_path / "c.pem"
    path.write_text("x = 1")
    with pytest.raises(BadSignerFile, match="x: "):
        read_signer_file(path)


async def test_a_key_file_that_others_may_read_is_refused(make_site: MakeSite) -> None:
    site = make_site()
    await site.end_process()
    site.pki.gateway_sign_key.chmod(0o644)
    try:
        with pytest.raises(SignerNotStarted, match="other users than the owner"):
            SignerProcess(site.file, site.reactor, site.clock, site.journal.entropy)
    finally:
        site.pki.gateway_sign_key.chmod(0o600)
    site.start()
    await site.close()
