"""A kind of bank: everything in which banks of the Finnish Web Services differ, read from profiles.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from importlib import resources
from typing import Any, Final

from protocols.banks.finws.names import DATA, ID, SECURITY, WSSE, WSU, S
from protocols.kit import dsig

_TRANSFORMS: Final = {"enveloped": dsig.ENVELOPED, "exclusive": dsig.EXC_C14N, "inclusive": dsig.C14N}
_DIGESTS: Final = {"sha1": dsig.SHA1, "sha256": dsig.SHA256, "sha512": dsig.SHA512}
_METHODS: Final = {"rsa-sha1": dsig.RSA_SHA1, "rsa-sha256": dsig.RSA_SHA256, "rsa-sha512": dsig.RSA_SHA512}
_CONTENT: Final = f"/{{{DATA}}}%s/{{{dsig.DS}}}Signature"
_TRANSPORT: Final = f"/{S}Envelope/{S}Header/{SECURITY}"


@dataclass(frozen=True, slots=True)
class Form:
    """How one signature is written."""

    transforms: tuple[str, ...]
    c14n: str
    digest: str
    method: str


@dataclass(frozen=True, slots=True)
class Variant:
    """A kind of bank. Times are in seconds, sizes in bytes; `weak_until` is needed where a form names SHA-1."""

    name: str
    title: str
    title_zh: str
    request: Form
    answer: Form
    envelope: Form
    answer_envelope_signed: bool
    compression: bool
    max_file_bytes: int
    enrolment: str
    reconstructed: tuple[str, ...]
    encryption: str = ""
    weak_until: date | None = None
    cert_namespace: str = ""
    cert_service: str = ""

    def content(self, root: str, form: Form, earlier: int = 0) -> dsig.SignatureProfile:
        """The enveloped signature of an application document; `earlier` signers signed before."""
        reference = dsig.Enveloped(form.transforms, form.digest)
        return dsig.SignatureProfile(
            f"finws {self.name} {root}", _CONTENT % root, (reference,), c14n=form.c14n, signature_method=form.method,
            earlier=earlier, weak_until=self.weak_until,
        )  # fmt: skip

    def transport(self) -> dsig.SignatureProfile:
        """The detached signature over the SOAP body and the time stamp."""
        form = self.envelope
        return dsig.SignatureProfile(
            f"finws {self.name} transport", f"{_TRANSPORT}/{{{dsig.DS}}}Signature",
            references=(
                dsig.ById(f"/{S}Envelope/{S}Body", ID, form.transforms, form.digest),
                dsig.ById(f"{_TRANSPORT}/{{{WSU}}}Timestamp", ID, form.transforms, form.digest),
            ),
            c14n=form.c14n, signature_method=form.method, key_info=(f"{{{WSSE}}}SecurityTokenReference",),
            weak_until=self.weak_until,
        )  # fmt: skip


@lru_cache(maxsize=1)
def variants() -> Mapping[str, Variant]:
    """Every kind of bank in profiles.toml."""
    text = resources.files(__package__).joinpath("profiles.toml").read_text("utf-8")
    return {name: variant_of(name, table) for name, table in tomllib.loads(text).items()}


def variant_of(name: str, table: Mapping[str, Any]) -> Variant:
    """One table of profiles.toml. Raises KeyError or TypeError for words that are none."""
    given: dict[str, Any] = {**table, "reconstructed": tuple(table["reconstructed"])}
    for key in ("request", "answer", "envelope"):
        given[key] = _form(table[key])
    return Variant(name, **given)


def _form(table: Mapping[str, Any]) -> Form:
    transforms = tuple(_TRANSFORMS[word] for word in table["transforms"])
    return Form(transforms, _TRANSFORMS[table["c14n"]], _DIGESTS[table["digest"]], _METHODS[table["method"]])
