"""A kind of bank: all points in which banks of the Finnish Web Services differ, read from profiles.toml.

Differences in the contract with one bank are options of its lane: `under_contract`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from importlib import resources
from typing import Any, Final

from protocols.bank import BadOptions
from protocols.banks.finws.encryption import CIPHERS
from protocols.banks.finws.names import DATA, ID, SECURITY, WSSE, WSU, S
from protocols.kit import dsig
from protocols.kit.charset import UTF8, Charset
from protocols.kit.errors import ProtocolError

_TRANSFORMS: Final = {
    "enveloped": dsig.ENVELOPED,
    "exclusive": dsig.EXC_C14N,
    "inclusive": dsig.C14N,
    "exclusive_comments": dsig.EXC_C14N_COMMENTS,
    "inclusive_comments": dsig.C14N_COMMENTS,
}
_DIGESTS: Final = {"sha1": dsig.SHA1, "sha256": dsig.SHA256, "sha512": dsig.SHA512}
_METHODS: Final = {"rsa-sha1": dsig.RSA_SHA1, "rsa-sha256": dsig.RSA_SHA256, "rsa-sha512": dsig.RSA_SHA512}
_CONTENT: Final = f"/{{{DATA}}}%s/{{{dsig.DS}}}Signature"
_TRANSPORT: Final = f"/{S}Envelope/{S}Header/{SECURITY}"
CHARSETS: Final = ("UTF-8", "ISO-8859-1", "ISO-8859-15")
RSA_BITS, OLD_RSA_BITS = 2048, 1024
"""The shortest RSA key of a bank's signatures: of today, and of the oldest that an option can let in."""
FORMS: Final = ("request", "answer", "envelope", "answer_envelope")
_FORM_WORDS: Final = {"c14n": _TRANSFORMS, "digest": _DIGESTS, "method": _METHODS}
# The charset that a message declares. The reader of the message judges the declaration's form.
_DECLARED: Final = re.compile(rb"""\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")


@dataclass(frozen=True, slots=True)
class Form:
    """The form of one signature."""

    transforms: tuple[str, ...]
    c14n: str
    digest: str
    method: str


@dataclass(frozen=True, slots=True)
class OlderForm:
    """Hash, signature method and shortest RSA key of a bank's older signatures, in the words of the options."""

    digest: str = "sha256"
    method: str = "rsa-sha256"
    min_rsa_bits: int = RSA_BITS


@dataclass(frozen=True, slots=True)
class Variant:
    """The rules of one kind of bank. Times are in seconds, sizes in bytes; `weak_until` is required if a form names
    SHA-1.

    `charset`: answers may use it, besides UTF-8, if they declare it. `older` is the form of the genuine answers of 2013
    to 2019 that are public, if it differs; a contract must name it if its bank still signs like that.
    """

    name: str
    title: str
    title_zh: str
    request: Form
    answer: Form
    envelope: Form
    answer_envelope: Form
    answer_envelope_signed: bool
    compression: bool
    max_file_bytes: int
    enrolment: str
    reconstructed: tuple[str, ...]
    older: OlderForm = OlderForm()
    encryption: str = ""
    min_rsa_bits: int = RSA_BITS
    weak_until: date | None = None
    cert_namespace: str = ""
    cert_service: str = ""
    charset: str = UTF8.name

    def bits_of(self, form: Form) -> int:
        """The shortest RSA key of a signature. A key under 2,048 bits counts with SHA-1 only, and so ends with it."""
        is_weak = form.digest == dsig.SHA1 or form.method == dsig.RSA_SHA1
        return self.min_rsa_bits if is_weak else max(self.min_rsa_bits, RSA_BITS)

    def content(self, root: str, form: Form, earlier: int = 0) -> dsig.SignatureProfile:
        """The enveloped signature of an application document; `earlier` signers signed before."""
        reference = dsig.Enveloped(form.transforms, form.digest)
        return dsig.SignatureProfile(
            f"finws {self.name} {root}",
            _CONTENT % root,
            (reference,),
            c14n=form.c14n,
            signature_method=form.method,
            earlier=earlier,
            weak_until=self.weak_until,
            min_rsa_bits=self.bits_of(form),
        )

    def charset_of(self, message: bytes) -> Charset:
        """The charset of a bank's message: the contract's where the message declares that one, else UTF-8."""
        ours, declared = Charset(self.charset), _DECLARED.match(message)
        return ours if declared is not None and ours.same_family(declared.group(1).decode()) else UTF8

    def transport(self, *, answer: bool = False) -> dsig.SignatureProfile:
        """The detached signature over the SOAP body and the time stamp, ours or that of an `answer`."""
        form = self.answer_envelope if answer else self.envelope
        return dsig.SignatureProfile(
            f"finws {self.name} transport",
            f"{_TRANSPORT}/{{{dsig.DS}}}Signature",
            references=(
                dsig.ById(f"/{S}Envelope/{S}Body", ID, form.transforms, form.digest),
                dsig.ById(f"{_TRANSPORT}/{{{WSU}}}Timestamp", ID, form.transforms, form.digest),
            ),
            c14n=form.c14n,
            signature_method=form.method,
            key_info=(f"{{{WSSE}}}SecurityTokenReference",),
            weak_until=self.weak_until,
            min_rsa_bits=self.bits_of(form),
        )


@lru_cache(maxsize=1)
def variants() -> Mapping[str, Variant]:
    """Every kind of bank in profiles.toml."""
    text = resources.files(__package__).joinpath("profiles.toml").read_text("utf-8")
    return {name: variant_of(name, table) for name, table in tomllib.loads(text).items()}


def variant_of(name: str, table: Mapping[str, Any]) -> Variant:
    """One table of profiles.toml. Raises KeyError or TypeError for unknown words."""
    given: dict[str, Any] = {
        **table,
        "reconstructed": tuple(table["reconstructed"]),
        "older": OlderForm(**table.get("older", {})),
    }
    given.setdefault("answer_envelope", table["envelope"])
    for key in FORMS:
        given[key] = _form(given[key])
    return Variant(name, **given)


def under_contract(variant: Variant, options: Mapping[str, Any]) -> Variant:
    """The kind of bank with the differences that the contract with this bank has. Raises BadOptions."""
    changed: dict[str, Any] = {
        key: _changed(getattr(variant, key), key, options[key]) for key in FORMS if key in options
    }
    if "envelope" in changed and variant.answer_envelope == variant.envelope:
        changed.setdefault("answer_envelope", changed["envelope"])
    for key, known in (("charset", CHARSETS), ("encryption", ("", *CIPHERS))):
        if key in options:
            if options[key] not in known:
                raise BadOptions(key, f"must be one of {', '.join(map(repr, known))}, not {options[key]!r}")
            changed[key] = options[key]
    for key in ("compression", "answer_envelope_signed"):
        if key in options:
            if not isinstance(options[key], bool):
                raise BadOptions(key, f"must be true or false, not {options[key]!r}")
            changed[key] = options[key]
    if "weak_until" in options:
        try:
            changed["weak_until"] = date.fromisoformat(str(options["weak_until"]))
        except ValueError:
            raise BadOptions("weak_until", "must be a day, for instance 2027-06-30") from None
    if "min_rsa_bits" in options:
        bits = options["min_rsa_bits"]
        if type(bits) is not int or not OLD_RSA_BITS <= bits <= 2 * RSA_BITS:
            raise BadOptions("min_rsa_bits", f"must be a whole number from {OLD_RSA_BITS} to {2 * RSA_BITS}")
        changed["min_rsa_bits"] = bits
    made = replace(variant, **changed)
    if made.min_rsa_bits < RSA_BITS and made.weak_until is None:
        raise BadOptions("min_rsa_bits", f"keys under {RSA_BITS} bits are weak; add weak_until, their last day")
    try:
        made.content("ApplicationRequest", made.request)
        made.content("ApplicationResponse", made.answer)
        made.transport(), made.transport(answer=True)
    except ProtocolError as error:
        hint = "; add weak_until, its last day" if "SHA-1" in error.text else ""
        raise BadOptions(next((key for key in FORMS if key in options), "weak_until"), error.text + hint) from None
    return made


def _changed(form: Form, key: str, table: object) -> Form:
    if not isinstance(table, Mapping) or not set(table) <= {"transforms", *_FORM_WORDS}:
        raise BadOptions(key, f"must be a table of transforms, {', '.join(_FORM_WORDS)}")
    changed: dict[str, Any] = {}
    transforms = table.get("transforms")
    if transforms is not None:
        if not isinstance(transforms, list) or not all(one in _TRANSFORMS for one in transforms):
            raise BadOptions(f"{key}.transforms", f"must be a list of {', '.join(_TRANSFORMS)}")
        changed["transforms"] = tuple(_TRANSFORMS[one] for one in transforms)
    for word, known in _FORM_WORDS.items():
        if word in table:
            if table[word] not in known:
                raise BadOptions(f"{key}.{word}", f"must be one of {', '.join(known)}, not {table[word]!r}")
            changed[word] = known[table[word]]
    return replace(form, **changed)


def _form(table: Mapping[str, Any]) -> Form:
    transforms = tuple(_TRANSFORMS[word] for word in table["transforms"])
    return Form(transforms, _TRANSFORMS[table["c14n"]], _DIGESTS[table["digest"]], _METHODS[table["method"]])
