"""The fields of a page's form, made from an act."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from gateway.act import ActParam, params_of, said
from gateway.control.register import REGISTER
from gateway.web.shared.languages import WebLanguage


@dataclass(frozen=True, slots=True)
class FormField:
    """A field of a form: its name, its help, and its input type in the browser."""

    name: str
    help: str
    type: str
    required: bool


def fields_of(code: str, language: WebLanguage) -> tuple[FormField, ...]:
    """The fields of the act's form: its parameters outside the path, with their help in the language."""
    return tuple(
        FormField(one.name, said(one.form.help, language), _type(one), one.required)
        for one in params_of(REGISTER[code])
        if is_asked(one)
    )


def is_asked(one: ActParam) -> bool:
    """True for a parameter that a person enters in a form."""
    return one.form.command and not one.in_path and not one.form.clear


def _type(one: ActParam) -> str:
    kinds = {bool: "checkbox", int: "number", float: "number", date | None: "date"}
    return kinds.get(one.type, "text")
