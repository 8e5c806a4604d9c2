"""Values of the command line that need no validation library: text, paths, numbers, choices.

The command line library imports pydantic for the first value that it converts, which takes longer than the rest of a
command such as `bankgw status`. So values of the usual types are converted here. Every other value, and every value
that may be wrong, goes to the library, which writes the error's text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

_WHOLE, _DECIMAL = re.compile(r"-?[0-9]{1,15}"), re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")
_UNKNOWN = object()
"""Stands for a value that the library has to judge."""


def read_plainly(command: Any) -> None:
    """Make this command and its subcommands convert plain values themselves."""
    for param in command.params:
        _prepare(param)
    make_help_option = command.get_help_option

    def help_option(context: Any) -> Any:
        made = make_help_option(context)
        _prepare(made)
        return made

    command.get_help_option = help_option
    for below in getattr(command, "commands", {}).values():
        read_plainly(below)


def _prepare(param: Any) -> None:
    # Where the library has no such attribute any more, it converts all values, as slowly as it does.
    if getattr(param, "_runtime_param", param) is None:
        param._runtime_param = PlainValue(param.type_descriptor)


class PlainValue:
    """Converts the values of one argument or option, as the library's own object in its place does."""

    def __init__(self, descriptor: Any) -> None:
        self._descriptor = descriptor

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value for the command; refuses a wrong one as the library does."""
        many = param.multiple or param.nargs == -1
        if value is None:
            return () if many else None
        found = _converted(self._descriptor.annotation, self._descriptor.parameter_info, value)
        return self._by_library(value, param, ctx) if found is _UNKNOWN else found

    def _by_library(self, value: Any, param: Any, ctx: Any) -> Any:
        # Imported here, because this import takes long.
        from typer._coercion import build_runtime_param

        return build_runtime_param(self._descriptor).coerce(value, param=param, ctx=ctx)


def _converted(kind: Any, info: Any, value: Any) -> Any:
    """The value as this type; `_UNKNOWN` if it is not plain."""
    if get_origin(kind) is list:
        (one,) = get_args(kind)
        found = [_converted(one, info, each) for each in value] if isinstance(value, list | tuple) else [_UNKNOWN]
        return _UNKNOWN if _UNKNOWN in found else found
    if get_origin(kind) is Literal:
        return value if value in get_args(kind) else _UNKNOWN
    convert = _TYPES.get(kind)
    return _UNKNOWN if convert is None or info.parser is not None else convert(info, value)


def _text(_info: Any, value: Any) -> Any:
    return value if isinstance(value, str) else _UNKNOWN


def _path(info: Any, value: Any) -> Any:
    if info.exists or info.resolve_path or info.writable or info.path_type or not (info.file_okay and info.dir_okay):
        return _UNKNOWN
    unreadable = os.path.exists(value) and not os.access(value, os.R_OK)
    return _UNKNOWN if info.readable and unreadable else Path(value)


def _number(info: Any, value: Any, kind: type[int] | type[float]) -> Any:
    if isinstance(value, str) and (_WHOLE if kind is int else _DECIMAL).fullmatch(value):
        value = kind(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or (kind is int and isinstance(value, float)):
        return _UNKNOWN
    below = info.min is not None and value < info.min
    above = info.max is not None and value > info.max
    return _UNKNOWN if below or above else kind(value)


_TYPES: dict[Any, Callable[[Any, Any], Any]] = {
    str: _text,
    bool: lambda _info, value: value if isinstance(value, bool) else _UNKNOWN,
    Path: _path,
    int: lambda info, value: _number(info, value, int),
    float: lambda info, value: _number(info, value, float),
}
