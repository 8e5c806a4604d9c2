"""Sample Bank, the teaching bank. It does not exist; README.md is its whole documentation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, cast

from protocols.bank import BadOptions, Bank, Bundles, Port, Profile, Questions, Replay, ReplayRule, Sessions
from protocols.banks.sample.batch import BATCH_OF, MOST, Batches
from protocols.banks.sample.messages import FRAMING, MAX_BYTES, OPERATIONS, Wire
from protocols.banks.sample.payment import OPERATION_OF, Payments
from protocols.banks.sample.questions import Asking
from protocols.canon.limits import AmountLimit, FieldLimit, Limits, Pace, ReferenceForm
from protocols.kit import codes, meanings
from protocols.kit.dsig import PinnedKey
from protocols.kit.dsig.verify import Engine
from protocols.kit.errors import ProtocolError

OUTCOMES: Final = codes.outcomes_but("empty")
"""What codes.toml may say."""
_TEXT: Final = r"[^\x00-\x1f\x7f]*"
_ACCOUNT: Final = r"[0-9A-Za-z]{4,34}"
_PEM: Final = re.compile(rb"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)
_DEFAULTS: Final[Mapping[str, Any]] = {
    "customer": "0001",
    "sessions": 8,
    "heartbeat_s": 30.0,
    "answer_s": 60.0,
    "quarantine_s": 120.0,
    "first_enquiry_s": 2.0,
    "per_second": 1000.0,
    "verify": "xmlsec",
}


def build(options: Mapping[str, Any]) -> Bank:
    """The bank these options describe; README.md section 5 lists them. Raises BadOptions."""
    for key in sorted(set(options) - set(_DEFAULTS) - {"bank_certificate"}):
        raise BadOptions(key, f"no such option; there are bank_certificate, {', '.join(_DEFAULTS)}")
    wire = Wire(_customer(options), _bank_keys(options), _verification(options))
    words = meanings.load(__package__, OPERATIONS, OUTCOMES)
    payments, asking, batches = Payments(wire, words), Asking(wire, words), Batches(wire, words)
    answer_s = _number(options, "answer_s", 0.01, 600)
    business = Port(
        "business",
        lambda: FRAMING.cutter(MAX_BYTES),
        kept=True,
        first_byte_s=answer_s,
        between_bytes_s=min(10.0, answer_s),
        exchange_s=2 * answer_s,
    )
    return Bank(
        profile=_profile(options),
        ports={"business": business},
        sessions=Sessions(
            window=int(_number(options, "sessions", 1, 16)),
            probe=asking.ping,
            probe_every_s=_number(options, "heartbeat_s", 1, 110),
            sign_on=asking.sign_on,
            sign_off=asking.sign_off,
        ),
        money=dict.fromkeys(OPERATION_OF, payments.pay),
        questions=Questions(asking.balance, asking.lines, payments.fate, asking.returns, asking.receipt),
        read=payments.read,
        bundles=dict.fromkeys(BATCH_OF, Bundles(MOST, batches.send, batches.fate, batches.read)),
    )


def _profile(options: Mapping[str, Any]) -> Profile:
    quarantine = timedelta(seconds=_number(options, "quarantine_s", 0, 86_400))
    rule = ReplayRule(Replay.REPLAY_SAFE, quarantine, not_found_count=2, window=None)
    per_second = _number(options, "per_second", 0.01, 100_000)
    first_enquiry = timedelta(seconds=_number(options, "first_enquiry_s", 0, 3_600))
    return Profile(
        name="sample",
        title="Sample Bank (invented)",
        title_zh="示例银行（虚构）",
        limits=Limits(
            charset="UTF-8",
            fields=(
                FieldLimit("/purpose", max_bytes=140, pattern=_TEXT),
                FieldLimit("/debtor/account", pattern=_ACCOUNT, required=True),
                FieldLimit("/debtor/name", max_bytes=120, pattern=_TEXT, required=True),
                FieldLimit("/creditor/account", pattern=_ACCOUNT, required=True),
                FieldLimit("/creditor/name", max_bytes=120, pattern=_TEXT, required=True),
                FieldLimit("/creditor/bank_name", max_bytes=120, pattern=_TEXT),
                FieldLimit("/creditor/cnaps", pattern=r"[0-9]{12}"),
            ),
            amount=AmountLimit(max_minor=9_999_999_999_999),
            pace=Pace(per_second, max(1, int(per_second)), first_enquiry),
            reference=ReferenceForm(20, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        ),
        replay=dict.fromkeys(OPERATION_OF, rule),
        signs=("order",),
        serials_per_word=1,
        page_lines=50,
        history_days=365,
        past_balance_days=365,
        unstated=dict.fromkeys(BATCH_OF, frozenset({"payee"})),
        reconstructed=("everything: this bank is invented",),
    )


def _number(options: Mapping[str, Any], key: str, least: float, most: float) -> float:
    given = options.get(key, _DEFAULTS[key])
    if isinstance(given, bool) or not isinstance(given, int | float) or not least <= given <= most:
        raise BadOptions(key, f"must be a number from {least:g} to {most:g}, not {given!r}")
    return float(given)


def _customer(options: Mapping[str, Any]) -> str:
    given = options.get("customer", _DEFAULTS["customer"])
    if not isinstance(given, str) or not re.fullmatch(r"[0-9A-Za-z]{1,20}", given):
        raise BadOptions("customer", f"must be text of 1 to 20 letters and digits, not {given!r}")
    return given


def _verification(options: Mapping[str, Any]) -> Engine:
    given = options.get("verify", _DEFAULTS["verify"])
    if given not in ("xmlsec", "hand"):
        raise BadOptions("verify", f"must be xmlsec or hand, not {given!r}")
    return cast(Engine, given)


def _bank_keys(options: Mapping[str, Any]) -> tuple[PinnedKey, ...]:
    given = options.get("bank_certificate", b"")
    pem = given.encode("ascii", "replace") if isinstance(given, str) else given
    blocks = [found.group() for found in _PEM.finditer(pem)] if isinstance(pem, bytes) else []
    if not 1 <= len(blocks) <= 2:
        raise BadOptions("bank_certificate", "must be the bank's signing certificate in PEM, or two of them")
    try:
        return tuple(PinnedKey.from_pem(block) for block in blocks)
    except ProtocolError as error:
        remedy = f"cannot be used ({error.text}); ask the bank for it again"
        raise BadOptions("bank_certificate", remedy) from None
