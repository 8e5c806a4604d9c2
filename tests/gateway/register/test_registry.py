"""The register: accounts lead to banks and lanes, broker users to senders. Renaming a user changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.kernel.core.states import Policy
from gateway.register import registry
from gateway.register.match_terms import DEFAULT_ACCOUNT_TERMS, NumberRange, Tariff
from gateway.settings import AttestedCase, Settings
from protocols.bank import Bank, Replay
from protocols.banks import pab
from protocols.canon.order import Kind

OWN, OTHER = "0000000000000000017", "0000000000000000018"


def settings(**senders: Any) -> Settings:
    return Settings.model_validate(
        {
            "broker": {"password": {"file": "b"}},
            "journal": {"vault_key": {"file": "v"}},
            "accounts": [
                {"number": OWN, "name": "示例甲公司", "company": "jia", "bank": "pab"},
                {"number": OTHER, "name": "示例乙公司", "company": "yi", "bank": "pab", "lane": "second"},
            ],
            "banks": {
                "pab": {
                    "protocol": "pab",
                    "lanes": {
                        name: {"host": "127.0.0.1", "ports": {"business": 1}, "plaintext": "loopback"}
                        for name in ("main", "second")
                    },
                }
            },
            "senders": senders or {"erp": {"users": ["erp"], "operations": ["payment.submit"]}},
        }
    )


@pytest.fixture(scope="module")
def bank() -> Bank:
    return pab.build({"enterprise_code": "00000000000000000001"})


def test_an_account_leads_to_its_bank_and_lane(bank: Bank) -> None:
    made = registry.build(settings(), {"pab": bank})
    first, second = made.route_of(OWN), made.route_of(OTHER)
    assert first is not None
    assert second is not None
    assert (first.bank, first.lane, first.company, first.currency) == ("pab", "pab.main", "jia", "CNY")
    assert second.lane == "pab.second"
    assert Kind.PAYMENT in first.kinds
    assert made.route_of("0000000000000000099") is None
    assert made.holders[OWN] == "示例甲公司"


def test_identity_is_the_sender_not_the_user(bank: Bank) -> None:
    table = {"users": ["old"], "operations": ["payment.submit"]}
    before = registry.build(settings(kingdee=table), {"pab": bank})
    after = registry.build(settings(kingdee={**table, "users": ["new", "newer"]}), {"pab": bank})
    was, old = before.sender_of("old"), after.sender_of("old")
    now = [after.sender_of("new"), after.sender_of("newer")]
    assert old is None
    assert was is not None
    assert [one.name for one in now if one is not None] == ["kingdee", "kingdee"]
    assert now[0] is not None
    assert replace(now[0]) == was


def test_rights(bank: Bank) -> None:
    made = registry.build(
        settings(
            all={"users": ["a"], "operations": ["payment.submit"]},
            one={
                "users": ["b"],
                "operations": ["balance.query"],
                "accounts": [OWN],
                "anonymous": True,
                "reply_to": "b\\..+",
            },
        ),
        {"pab": bank},
    )
    everything, single = made.senders["all"], made.senders["one"]
    assert everything.may_use(OWN)
    assert everything.may_use(OTHER)
    assert single.may_use(OWN)
    assert not single.may_use(OTHER)
    assert single.operations == {"balance.query"}
    assert single.reply_to.fullmatch("b.x")
    assert not everything.reply_to.fullmatch("b.x")
    assert made.sender_of(None) is single
    assert made.sender_of("nobody") is None


def test_without_an_anonymous_sender_nobody_is_one(bank: Bank) -> None:
    assert registry.build(settings(), {"pab": bank}).sender_of(None) is None


def test_limits_and_bands_become_minor_units(bank: Bank) -> None:
    made = registry.build(
        settings(
            erp={
                "users": ["erp"],
                "operations": ["payment.submit"],
                "limits": {"per_payment": "5000", "per_day": "10000.5"},
                "bands": [{"upto": "100", "action": "release"}, {"above": "100", "action": "hold"}],
                "new_payee_hold": True,
            }
        ),
        {"pab": bank},
    )
    allowance = made.senders["erp"].allowance
    assert (allowance.per_payment_minor, allowance.per_day_minor) == (500_000, 1_000_050)
    assert [(band.above_minor, band.upto_minor, band.hold) for band in allowance.bands] == [
        (0, 10_000, False),
        (10_000, None, True),
    ]
    assert allowance.hold_new_payee
    assert allowance.alike_hours == 24


def test_the_hmac_key_is_read_once(bank: Bank, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"secret\n")
    table = {"users": ["erp"], "operations": ["payment.submit"], "hmac_key": {"file": str(tmp_path / "key")}}
    made = registry.build(settings(erp=table), {"pab": bank})
    assert made.senders["erp"].hmac_key == b"secret"


def test_rules_are_the_banks_in_milliseconds(bank: Bank) -> None:
    made = registry.build(settings(), {"pab": bank})
    route = made.route_of(OWN)
    assert route is not None
    rules = made.rules_of(route, Kind.PAYMENT)
    assert rules.replay is Policy(bank.profile.replay[Kind.PAYMENT].policy.value)
    assert rules.deadline_ms == int(bank.profile.enquiry_deadline.total_seconds() * 1000)
    assert rules.returns_every_ms == int(bank.profile.returns_every.total_seconds() * 1000)
    # A kind that the bank's profile does not name is never sent again.
    assert made.rules_of(route, cast(Any, Kind.COLLECTION)).replay is Policy.NEVER


# ---- the bank's rules for repeats, and those that a joint test has shown
# ----------------------------------------------

ATTESTED = {
    "kind": "payment",
    "case": "repeat.payment",
    "front_end": "V4.3",
    "seen_on": "2026-11-20",
    "pack_sha256": "a" * 64,
}


@pytest.mark.parametrize(
    ("mode", "attested", "payment", "transfer"),
    [
        ("development", [], Policy.REPLAY_SAFE, Policy.REPLAY_SAFE),
        ("production", [], Policy.QUERY_FIRST, Policy.QUERY_FIRST),
        ("production", [ATTESTED], Policy.REPLAY_SAFE, Policy.QUERY_FIRST),
    ],
)
def test_in_production_a_repeat_is_harmless_only_where_it_was_seen(
    bank: Bank, mode: str, attested: list[dict[str, str]], payment: Policy, transfer: Policy
) -> None:
    rule = replace(bank.profile.replay[Kind.PAYMENT], policy=Replay.REPLAY_SAFE)
    safe = replace(bank, profile=replace(bank.profile, replay={Kind.PAYMENT: rule, Kind.TRANSFER: rule}))
    plain = settings()
    seen = tuple(AttestedCase.model_validate(one) for one in attested)
    table = plain.banks["pab"].model_copy(update={"attested": seen})
    made = registry.build(plain.model_copy(update={"mode": mode, "banks": {"pab": table}}), {"pab": safe})
    assert made.bank_rules("pab", Kind.PAYMENT).replay is payment
    assert made.bank_rules("pab", Kind.TRANSFER).replay is transfer


def test_what_is_stricter_anyway_stays(bank: Bank) -> None:
    production = settings().model_copy(update={"mode": "production"})
    rules_before = registry.build(settings(), {"pab": bank}).bank_rules("pab", Kind.PAYMENT)
    assert registry.build(production, {"pab": bank}).bank_rules("pab", Kind.PAYMENT) == rules_before
    assert registry.build(production, {"pab": bank}).bank_rules("pab", Kind.BATCH_ITEM).replay is Policy.NEVER


def test_the_matching_knows_numbers_and_tariffs(bank: Bank) -> None:
    assert registry.build(settings(), {"pab": bank}).reconciliation == DEFAULT_ACCOUNT_TERMS
    told = settings().model_dump(exclude_unset=True)
    told["reconciliation"] = {
        "days": 3,
        "numbers": [{"prefix": "INV", "digits": 4, "first": 1, "last": 99}],
        "fees": [{"bank": "pab", "upto": "50000", "fee": "10.00"}, {"bank": "pab", "upto": "10000", "fee": "5.00"}],
    }
    made = registry.build(Settings.model_validate(told), {"pab": bank}).reconciliation
    tariff = Tariff(((1_000_000, 500), (5_000_000, 1_000)))
    assert made.payments.tariffs == made.book.tariffs == {OWN: tariff, OTHER: tariff}
    assert made.payments.numbers == made.book.numbers == (NumberRange("INV", 1, 99, 4),)
    assert (made.payments.earliest_days, made.payments.latest_days) == (0, 3)
    assert (made.book.earliest_days, made.book.latest_days) == (-3, 3)
