"""Reads a body as a command, or as a refusal that lists every fault.

No function here raises for any input.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, tzinfo
from enum import StrEnum
from functools import lru_cache
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from protocols.canon.errors import Code, Fault, Refusal
from protocols.erp import faults, json_form, xml_form
from protocols.erp.form import Contradiction, Form, Strict
from protocols.erp.forms import FORMS
from protocols.erp.iso import reading
from protocols.erp.iso.writing import MESSAGES, answer_to
from protocols.erp.json_form import Malformed
from protocols.erp.words import MAX_BODY_BYTES, Command, CommandType

__all__ = ["MAX_BODY_BYTES", "Media", "answer_form", "claimed_id", "media", "parse_command"]

_CONTENT_TYPE = re.compile(r"\s*([a-z0-9.+/-]+)\s*(?:;\s*charset\s*=\s*\"?([A-Za-z0-9_-]+)\"?\s*)?;?\s*\Z", re.ASCII)


class Media(StrEnum):
    """The two forms a message may have."""

    JSON = "application/json"
    XML = "application/xml"


_MESSAGE = ";message="
_MEDIA = {"application/json": Media.JSON, "application/xml": Media.XML, "text/xml": Media.XML}


def media(content_type: str | None, body: bytes) -> Media | Refusal:
    """The form of a body. Without a content type, a body that begins with "<" is XML and any other JSON."""
    if not content_type:
        return Media.XML if body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<" else Media.JSON
    content_type = content_type.partition(_MESSAGE)[0]
    known = _MEDIA.get(content_type)
    if known is not None:
        return known
    found = _CONTENT_TYPE.match(content_type.lower())
    known = _MEDIA.get(found.group(1)) if found else None
    if found is None or known is None:
        return Refusal(Code.MALFORMED, "content-type must be application/json or application/xml")
    if found.group(2) not in (None, "utf-8", "utf8"):
        return Refusal(Code.MALFORMED, "the charset must be UTF-8")
    return known


def answer_form(medium: Media, body: bytes, asked: str | None) -> str:
    """The form in which a command's answers are to be written, as `replies.reply_body` takes it.

    `asked` is a message of ISO 20022 that the sender named (as in `camt.053.001.08`). A file of ISO 20022 is answered
    by its status report; every other command is answered in its own form.
    """
    if asked in MESSAGES:
        return f"{medium.value}{_MESSAGE}{asked}"
    if medium is Media.XML and reading.is_file(body):
        return f"{medium.value}{_MESSAGE}{answer_to(reading.name_of(body))}"
    return medium.value


def parse_command(type_: CommandType, content_type: str | None, body: bytes, zone: tzinfo = UTC) -> Command | Refusal:
    """The command in `body`, or a refusal with every fault. `zone` is where a day without a time begins.

    The caller has settled the type (`routing.message_type`) and refused bodies over MAX_BODY_BYTES.
    `malformed` means the document could not be read at all, `schema` that fields are missing or wrong.
    """
    form = FORMS[type_]
    medium = media(content_type, body)
    if isinstance(medium, Refusal):
        return medium
    if medium is Media.XML and reading.is_file(body):
        return reading.parse_file(type_, body, zone)
    try:
        raw = json_form.parse(body) if medium is Media.JSON else xml_form.parse(body, type_.value, form)
    except Malformed as error:
        return Refusal(Code.MALFORMED, str(error))
    try:
        return form.model_validate(raw).word()
    except Contradiction as error:
        return _refusal(type_, error.faults)
    except ValidationError as error:
        return _refusal(type_, _all_faults(form, raw, error))


def claimed_id(content_type: str | None, body: bytes, type_: CommandType = CommandType.PAYMENT_SUBMIT) -> str | None:
    """The id of a refused command, for its reply; None if none can be read."""
    medium = media(content_type, body)
    if medium is Media.XML and reading.is_file(body):
        return reading.message_id(body)
    try:
        if medium is Media.JSON:
            raw = json_form.parse(body)
        elif medium is Media.XML:
            raw = xml_form.parse(body, None, FORMS[type_])
        else:
            return None
        return str(_adapters(FORMS[CommandType.PAYMENT_SUBMIT])["id"].validate_python(raw["id"]))
    except (Malformed, ValidationError, KeyError, TypeError):
        return None


def _refusal(type_: CommandType, found: tuple[Fault, ...]) -> Refusal:
    many = "1 field" if len(found) == 1 else f"{len(found)} fields"
    return Refusal(Code.SCHEMA, f"{many} of {type_.value} missing or of the wrong form", found)


def _all_faults(form: type[Form], raw: Any, error: ValidationError) -> tuple[Fault, ...]:
    found = faults.findings(error, _names(form))
    if not isinstance(raw, dict):
        return found.faults
    values = {
        name: adapter.validate_python(raw[name], strict=True)
        for name, adapter in _adapters(form).items()
        if name in raw and name not in found.fields
    }
    rest = form.contradictions(values, found.fields) + form.beside_faults(raw, found.fields)
    return (found.faults + rest)[: faults.MAX_FAULTS]


@lru_cache(maxsize=64)
def _adapters(form: type[Form]) -> Mapping[str, TypeAdapter[Any]]:
    hints = get_type_hints(form, include_extras=True)
    return {field.alias or name: TypeAdapter(hints[name]) for name, field in form.model_fields.items()}


@lru_cache(maxsize=64)
def _names(form: type[Strict]) -> frozenset[str]:
    names = {field.alias or name for name, field in form.model_fields.items()}
    for field in form.model_fields.values():
        # The class of a field's value, or of a list's items.
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, Strict):
                names |= _names(inner)
    return frozenset(names)
