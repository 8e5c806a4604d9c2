"""The Finnish Web Services: payments by file, signed twice, to Nordea-, OP-, Danske- and Samlink-type banks.

README.md describes the protocol; profiles.toml lists how the banks differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any, Final, cast

from cryptography.x509 import Certificate, load_pem_x509_certificate

from protocols.bank import BadOptions, Bank, Port, Profile, Questions, Replay, ReplayRule, Sessions
from protocols.banks.finws import iso
from protocols.banks.finws.climb import Types
from protocols.banks.finws.enrolment import Enrolment
from protocols.banks.finws.files import Files
from protocols.banks.finws.messages import DOWNLOAD_MAX_BYTES, Wire
from protocols.banks.finws.names import OPERATIONS, OUTCOMES
from protocols.banks.finws.payment import KINDS, TOGETHER, Payments
from protocols.banks.finws.pki import Factory
from protocols.banks.finws.questions import Asking
from protocols.banks.finws.variant import FORMS, Variant, under_contract, variants
from protocols.canon.limits import AmountLimit, FieldLimit, Limits, Pace, ReferenceForm
from protocols.canon.order import Kind
from protocols.canon.party import Address
from protocols.canon.terms import Terms
from protocols.kit import http, meanings
from protocols.kit.dsig import PinnedKey
from protocols.kit.dsig.verify import Engine
from protocols.kit.errors import ProtocolError

_PEM: Final = re.compile(rb"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)
_DAYS_BACK: Final = 90
"""So far back entries and closing balances are asked for: both come from the same statements."""
_TEXT: Final = r"[^\x00-\x1f\x7f]*"
_ACCOUNT: Final = r"[0-9A-Z]{4,34}"
_WORD: Final = r"[0-9A-Za-z._-]{1,%d}"
_DEFAULTS: Final[Mapping[str, Any]] = {
    "profile": "nordea",
    "sender": "",
    "target": "NONE",
    "environment": "TEST",
    "software": "bankgw",
    "request_prefix": "",
    "host": "localhost",
    "path": "/services/CorporateFileService",
    "currencies": ["EUR"],
    "sessions": 4,
    "heartbeat_s": 300.0,
    "answer_s": 60.0,
    "life_s": 3600.0,
    "quarantine_s": 600.0,
    "first_enquiry_s": 30.0,
    "per_second": 5.0,
    "verify": "xmlsec",
    "type_payment": "pain.001.001.03",
    "payment_form": iso.PAYMENT_FORMS[0],
    "address": {},
    "collection_form": iso.COLLECTION_FORMS[0],
    "type_collection": "",
    "service_level": iso.SERVICES[0],
    "rules": iso.RULES[0],
    "end_to_end": iso.PAYER_S,
    "file_payments": 1000,
    "creditor_scheme": "",
    "type_status": "pain.002.001.03",
    "type_notification": "camt.054.001.02",
    "type_report": "camt.052.001.02",
    "type_statement": "camt.053.001.02",
    "transport_certificate": "",
    "other_signers": "",
    "encryption_certificate": "",
    "certificate_path": "/services/CertificateService",
}
_ADDRESS: Final = {"country": 2, "town": 35, "postcode": 16, "street": 70, "building": 16}
_FIELDS: Final = (
    FieldLimit("/purpose", max_chars=140, pattern=_TEXT),
    FieldLimit("/debtor/account", pattern=_ACCOUNT, required=True, iban=True),
    FieldLimit("/debtor/name", max_chars=70, pattern=_TEXT, required=True),
    FieldLimit("/creditor/account", pattern=_ACCOUNT, required=True, iban=True),
    FieldLimit("/creditor/name", max_chars=70, pattern=_TEXT, required=True),
)
_MANDATE: Final = (FieldLimit("/agreement", max_chars=35, required=True), FieldLimit("/signed_on", required=True))
_TERMS: Final = frozenset(one.name for one in fields(Terms))
_REQUIRED: Final = ("customer", "bic", "certificate", "bank_certificate")
_CONTRACT: Final = (
    *FORMS,
    "charset",
    "encryption",
    "compression",
    "answer_envelope_signed",
    "weak_until",
    "min_rsa_bits",
    "batch_booking",
)
"""What is the kind of bank's where the option is missing."""


def build(options: Mapping[str, Any]) -> Bank:
    """The bank these options describe; README.md section 7 lists them. Raises BadOptions."""
    known = (*_REQUIRED, *_DEFAULTS, *_CONTRACT)
    for key in sorted(set(options) - set(known)):
        raise BadOptions(key, f"no such option; there are {', '.join(known)}")
    variant = _variant(options)
    wire = _wire(options, variant)
    codes = meanings.load(__package__, OPERATIONS, OUTCOMES)
    files = Files(wire, codes)
    names = ("payment", "status", "notification", "report", "statement")
    types = Types(
        **{name: _text(options, f"type_{name}", r"[!-~]{1,40}") for name in names},
        collection=_text(options, "type_collection", r"[!-~]{0,40}"),
    )
    payments, asking = Payments(files, types, codes, _writing(options, wire)), Asking(files, types)
    most = int(_number(options, "file_payments", 1, 5000))
    kinds = [kind for kind in TOGETHER if kind is not Kind.COLLECTION or types.collection]
    answer_s = _number(options, "answer_s", 0.01, 600)
    business = Port(
        "business",
        lambda: http.HttpAnswers().cutter(DOWNLOAD_MAX_BYTES),
        kept=False,
        first_byte_s=answer_s,
        between_bytes_s=min(10.0, answer_s),
        exchange_s=2 * answer_s,
    )
    return Bank(
        profile=_profile(options, variant, wire, kinds),
        ports={"business": business},
        sessions=Sessions(
            window=int(_number(options, "sessions", 1, 16)),
            probe=files.probe,
            probe_every_s=_number(options, "heartbeat_s", 1, 3600),
        ),
        money=dict.fromkeys(KINDS, payments.pay),
        questions=Questions(asking.balance, asking.lines, payments.fate, asking.returns),
        read=payments.read,
        bundles={kind: payments.together(kind, most) for kind in kinds},
    )


def files(options: Mapping[str, Any]) -> Files:
    """The file operations alone, for people who list, fetch or delete files. Raises BadOptions."""
    variant = _variant(options)
    return Files(_wire(options, variant), meanings.load(__package__, OPERATIONS, OUTCOMES))


def certificates(options: Mapping[str, Any]) -> Enrolment | Factory:
    """The bank's certificate service. Before the first certificate the option `certificate` is missing. Raises
    BadOptions.
    """
    wire = _wire(options, _variant(options), enrolled=bool(options.get("certificate")))
    path = _text(options, "certificate_path", r"/[!-~]{0,1024}")
    return Factory(wire, path) if wire.variant.enrolment == "pki" else Enrolment(wire, path)


def _profile(options: Mapping[str, Any], variant: Variant, wire: Wire, together: Iterable[Kind]) -> Profile:
    quarantine = timedelta(seconds=_number(options, "quarantine_s", 0, 86_400))
    # The bank remembers a RequestId for three months, but takes no message whose Timestamp is too old.
    rule = ReplayRule(Replay.REPLAY_SAFE, quarantine, not_found_count=2, window=timedelta(seconds=wire.life_s))
    once = replace(rule, policy=Replay.NEVER, window=None)
    per_second = _number(options, "per_second", 0.01, 1000)
    currencies = options.get("currencies", _DEFAULTS["currencies"])
    if (
        not isinstance(currencies, list)
        or not currencies
        or not all(isinstance(one, str) and re.fullmatch(r"[A-Z]{3}", one) for one in currencies)
    ):
        raise BadOptions("currencies", 'must be a list of currency codes, for instance ["EUR"]')
    limits = Limits(
        charset="UTF-8",
        fields=_FIELDS,
        amount=AmountLimit(max_minor=99_999_999_999, currencies=tuple(currencies)),
        pace=Pace(
            per_second, max(1, int(per_second)), timedelta(seconds=_number(options, "first_enquiry_s", 0, 86_400))
        ),
        reference=ReferenceForm(20, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        terms=_TERMS - {"charge_bearer"} if _is_sepa(options) else _TERMS,
    )
    return Profile(
        name="finws",
        title=variant.title,
        title_zh=variant.title_zh,
        limits=limits,
        # A file of several orders is never sent again: if it arrived before, the bank has each of its orders twice.
        replay={**dict.fromkeys(KINDS, rule), **dict.fromkeys(together, once)},
        kind_limits={Kind.COLLECTION: replace(limits, fields=(*_FIELDS, *_MANDATE))},
        signs=("content", "content2", "content3")[: len(wire.content_certificates)] + ("transport",),
        serials_per_word=1,
        page_lines=1000,
        history_days=_DAYS_BACK,
        past_balance_days=_DAYS_BACK,
        over_internet=True,
        encrypts=frozenset({"transport"} if variant.encryption else ()),
        reconstructed=(
            *variant.reconstructed,
            "names of file types, which the contract with the bank lists",
            "how several business signatures stand beside each other",
        ),
    )


def _wire(options: Mapping[str, Any], variant: Variant, *, enrolled: bool = True) -> Wire:
    for key in _REQUIRED:
        if not options.get(key) and (enrolled or key != "certificate"):
            raise BadOptions(key, "is required; add it")
    customer = _text(options, "customer", _WORD % 16)
    others = _blocks(options.get("other_signers", ""))
    if len(others) > 2 or (options.get("other_signers") and not others):
        raise BadOptions("other_signers", "must be at most two certificates in PEM, one after the other")
    ours = (_certificate("certificate", options["certificate"]),) if enrolled else ()
    content = (*ours, *(_certificate("other_signers", each.decode("ascii")) for each in others))
    transport = options.get("transport_certificate") or options.get("certificate")
    encrypt_to = options.get("encryption_certificate", "")
    if variant.encryption and not encrypt_to:
        raise BadOptions("encryption_certificate", "this kind of bank wants encrypted messages; add its certificate")
    if encrypt_to:
        _certificate("encryption_certificate", encrypt_to)
    environment = options.get("environment", _DEFAULTS["environment"])
    if environment not in ("TEST", "PRODUCTION"):
        raise BadOptions("environment", f"must be TEST or PRODUCTION, not {environment!r}")
    engine = options.get("verify", _DEFAULTS["verify"])
    if engine not in ("xmlsec", "hand"):
        raise BadOptions("verify", f"must be xmlsec or hand, not {engine!r}")
    return Wire(
        variant=variant,
        customer=customer,
        sender=_text(options, "sender", _WORD % 35) if options.get("sender") else customer,
        bic=_text(options, "bic", r"[A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?"),
        target=_text(options, "target", _WORD % 80),
        environment=environment,
        software=_text(options, "software", r"[ -~]{1,80}"),
        prefix=_text(options, "request_prefix", r"[0-9A-Za-z]{0,8}"),
        host=_text(options, "host", r"[!-~]{1,255}"),
        path=_text(options, "path", r"/[!-~]{0,1024}"),
        life_s=int(_number(options, "life_s", 60, 86_400)),
        content_certificates=content,
        transport_certificate=_certificate("transport_certificate", transport) if enrolled else None,
        bank_keys=_bank_keys(options),
        encrypt_to=encrypt_to.encode("ascii", "replace"),
        engine=cast(Engine, engine),
    )


def _variant(options: Mapping[str, Any]) -> Variant:
    given = options.get("profile", _DEFAULTS["profile"])
    if given not in variants():
        raise BadOptions("profile", f"must be one of {', '.join(variants())}, not {given!r}")
    return under_contract(variants()[given], options)


def _is_sepa(options: Mapping[str, Any]) -> bool:
    """True if only shared fees are allowed: the rules of DK are those of SEPA."""
    return "SEPA" in (options.get("service_level"), {iso.DK: "SEPA"}.get(str(options.get("rules"))))


def _writing(options: Mapping[str, Any], wire: Wire) -> iso.Writing:
    words = {
        "payment_form": iso.PAYMENT_FORMS,
        "collection_form": iso.COLLECTION_FORMS,
        "service_level": iso.SERVICES,
        "end_to_end": (iso.PAYER_S, iso.OURS),
        "rules": iso.RULES,
    }
    chosen = {}
    for key, known in words.items():
        chosen[key] = options.get(key, _DEFAULTS[key])
        if chosen[key] not in known:
            raise BadOptions(key, f"must be one of {', '.join(known)}, not {chosen[key]!r}")
    booking = options.get("batch_booking")
    if booking not in (None, True, False):
        raise BadOptions("batch_booking", f"must be true or false, not {booking!r}")
    return iso.Writing(
        wire.bic,
        chosen["payment_form"],
        chosen["collection_form"],
        _address(options),
        "SEPA" if _is_sepa(options) else chosen["service_level"],
        chosen["end_to_end"],
        booking,
        _text(options, "creditor_scheme", r"[!-~]{0,35}"),
        chosen["rules"],
    )


def _text(options: Mapping[str, Any], key: str, form: str) -> str:
    given = options.get(key, _DEFAULTS.get(key))
    if not isinstance(given, str) or not re.fullmatch(form, given):
        raise BadOptions(key, f"must be text of the form {form}, not {given!r}")
    return given


def _number(options: Mapping[str, Any], key: str, least: float, most: float) -> float:
    given = options.get(key, _DEFAULTS[key])
    if isinstance(given, bool) or not isinstance(given, int | float) or not least <= given <= most:
        raise BadOptions(key, f"must be a number from {least:g} to {most:g}, not {given!r}")
    return float(given)


def _address(options: Mapping[str, Any]) -> Address | None:
    given = options.get("address", {})
    if not isinstance(given, dict) or not all(
        name in _ADDRESS and isinstance(text, str) and 0 < len(text) <= _ADDRESS[name] for name, text in given.items()
    ):
        forms = ", ".join(f"{name} (at most {most} characters)" for name, most in _ADDRESS.items())
        raise BadOptions("address", f"must be a table of {forms}")
    if given and not re.fullmatch("[A-Z]{2}", given.get("country", "")):
        raise BadOptions("address", 'needs a country of two letters, for instance "FI"')
    return Address(**given) if given else None


def _certificate(key: str, given: object) -> Certificate:
    try:
        return load_pem_x509_certificate(given.encode("ascii", "replace") if isinstance(given, str) else b"")
    except ValueError:
        raise BadOptions(key, "must be a certificate in PEM") from None


def _blocks(given: object) -> list[bytes]:
    text = given.encode("ascii", "replace") if isinstance(given, str) else b""
    return [found.group() for found in _PEM.finditer(text)]


def _bank_keys(options: Mapping[str, Any]) -> tuple[PinnedKey, ...]:
    blocks = _blocks(options["bank_certificate"])
    if not 1 <= len(blocks) <= 4:
        raise BadOptions("bank_certificate", "must be the bank's signing certificates in PEM, one to four of them")
    try:
        return tuple(PinnedKey.from_pem(block) for block in blocks)
    except ProtocolError as error:
        raise BadOptions("bank_certificate", f"cannot be used ({error.text}); ask the bank for it again") from None
