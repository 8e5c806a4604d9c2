"""The native libraries: imported on demand, checked for compatibility, and kept from opening files."""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType
from typing import Any, Final

from lxml import etree

from protocols.kit.errors import ProtocolError

_REMEDY: Final = "install a fitting pair, for instance lxml>=6.0,<7 with xmlsec>=1.3.16,<1.4, both as wheels"


class _State:
    started: bool = False


_STATE: Final = _State()


def start() -> None:
    """Loads xmlsec, checks that lxml and xmlsec share one libxml2, and keeps xmlsec from opening files.

    The process must call it once before `verify`; further calls do nothing. Without it, a reference to file:///dev/zero
    would be read for ever, and before any check of the signature. Raises "stack".
    """
    if _STATE.started:
        return
    xmlsec = xmlsec_module()
    mine, theirs = etree.LIBXML_VERSION, xmlsec.get_libxml_version()
    if mine[:2] != theirs[:2]:
        raise ProtocolError("stack", f"lxml runs on libxml2 {_dots(mine)}, xmlsec on {_dots(theirs)}; {_REMEDY}")
    xmlsec.cleanup_callbacks()
    _STATE.started = True


def is_started() -> bool:
    """Whether `start` has run in this process."""
    return _STATE.started


@lru_cache(maxsize=1)
def xmlsec_module() -> Any:
    """The xmlsec module. Raises "stack" with the remedy if it is incompatible with lxml."""
    try:
        import xmlsec
    except Exception as error:  # its own error class exists only after a successful import
        raise ProtocolError("stack", f"xmlsec cannot be loaded beside lxml: {error}; {_REMEDY}") from error
    assert isinstance(xmlsec, ModuleType)
    return xmlsec


def _dots(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
