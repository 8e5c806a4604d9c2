"""`bankgw explain FILE`: the X-ray of a signed message, for the call with the bank in which two digests disagree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from gateway.desk import codes, terminal
from gateway.desk.terminal import AsJson
from protocols.kit import dsig
from protocols.kit.charset import Charset
from protocols.kit.errors import ProtocolError

_DEPTH_MAX: Final = 3
_BYTES_MAX: Final = 16_777_216
_AROUND: Final = 40
_TAG: Final = re.compile(r"(<[^>]*>)")
_ATTRIBUTE: Final = re.compile(r"""([\w:.-]+)=("[^"]*"|'[^']*')""")
# Attributes that carry a signature's own words, never a person's.
_OPEN_ATTRIBUTES: Final = re.compile(r"xmlns(:.*)?|Algorithm|URI|Type|ValueType|EncodingType|(.*:)?Id")
_OPEN_ELEMENTS: Final = re.compile(r"<(\w+:)?(DigestValue|SignatureValue|X509Certificate|Created|Expires)[ >]")


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("explain")(explain)


def explain(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A message as it travelled: XML, also inside HTTP.")],
    key: Annotated[
        list[Path] | None, typer.Option("--key", help="A certificate or public key you trust, PEM; repeatable.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="The octets that the other side hashed: says where they first differ from ours.")
    ] = None,
    charset: Annotated[str, typer.Option(help="UTF-8, GBK, GB2312 or GB18030.")] = "UTF-8",
    clear: Annotated[bool, typer.Option("--clear", help="Show signed octets as they are, with personal data.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say of each signature what exactly was signed, what each reference covers, and why a digest does not fit."""
    try:
        data, other = _read(file), None if against is None else _read(against, whole=True)
        keys = tuple(dsig.PinnedKey.from_pem(one.read_bytes()) for one in key or ())
        words = Charset(charset)
    except OSError as error:
        terminal.leave(codes.FAILED, f"{error.filename}: cannot be read ({error.strerror})")
    except ProtocolError as error:
        terminal.leave(codes.USAGE, str(error))
    dsig.start()
    layers = list(_layers(data, words, keys))
    said = {"layers": [_plain(where, found, other, clear) for where, found in layers]}
    terminal.show(said, as_json=as_json, words=_words)
    signatures = [one for _, found in layers for one in found.signatures]
    good = signatures and all(one.signers and all(part.fits for part in one.covered) for one in signatures)
    raise typer.Exit(codes.OK if good else codes.FAILED)


def _read(file: Path, *, whole: bool = False) -> bytes:
    """The document in a file: without the head of HTTP or the digits of a length that may stand before it."""
    with file.open("rb") as opened:
        data = opened.read(_BYTES_MAX)
    begins = data.find(b"<")
    return data if whole or begins < 0 else data[begins : data.rfind(b">") + 1]


def _layers(
    data: bytes, charset: Charset, keys: tuple[dsig.PinnedKey, ...], where: str = "", depth: int = 0
) -> Iterator[tuple[str, dsig.Explained]]:
    """The message, and messages inside it in base64."""
    yield where, dsig.explain(data, keys=keys, charset=charset)
    if depth < _DEPTH_MAX:
        for path, inner in dsig.embedded(data, charset):
            yield from _layers(inner, charset, keys, f"{where}{path}!", depth + 1)


def _plain(where: str, found: dsig.Explained, other: bytes | None, clear: bool) -> dict[str, Any]:
    return {
        "where": where, "root": found.root, "refused": found.refused,
        "signatures": [{
            "path": one.path, "canonical_form": one.c14n, "method": one.method, "signers": list(one.signers),
            "note": one.note, "signed_info": _shown(one.octets, clear),
            "references": [{
                "uri": part.uri, "transforms": list(part.transforms), "digest_method": part.digest, "fits": part.fits,
                "stated": part.expected, "ours": part.actual, "note": part.note, "fits_if": list(part.fits_if),
                "bytes": None if part.octets is None else len(part.octets), "octets": _shown(part.octets, clear),
                "differs_at": _difference(part.octets, other, clear),
            } for part in one.covered],
        } for one in found.signatures],
    }  # fmt: skip


def _difference(octets: bytes | None, other: bytes | None, clear: bool) -> dict[str, Any] | None:
    if octets is None or other is None:
        return None
    at = dsig.first_difference(octets, other)
    if at is None:
        return None
    around = slice(max(at - _AROUND, 0), at + _AROUND)
    cut = [part[around].decode("utf-8", "replace") for part in (octets, other)]
    ours, theirs = cut if clear else map(_shape, cut)
    return {"byte": at, "ours": ours, "theirs": theirs}


def _shown(octets: bytes | None, clear: bool) -> str | None:
    if octets is None:
        return None
    text = octets.decode("utf-8", "replace")
    return text if clear else masked(text)


def masked(document: str) -> str:
    """A document of which only the shape is left: markup, blanks and lengths stay, letters and digits do not.

    What a signature itself says (algorithms, digests, certificates, times) stays readable.
    """
    parts, is_open = [], False
    for part in _TAG.split(document):
        if part.startswith("<"):
            is_open = _OPEN_ELEMENTS.match(part) is not None
            parts.append(_ATTRIBUTE.sub(_attribute, part))
        else:
            parts.append(part if is_open else _shape(part))
    return "".join(parts)


def _attribute(found: re.Match[str]) -> str:
    name, content = found.groups()
    return found.group() if _OPEN_ATTRIBUTES.fullmatch(name) else f"{name}={_shape(content)}"


def _shape(text: str) -> str:
    """Each letter as x or X, each digit as 0, each other sign of a script as 字; entities and signs stay."""
    return re.sub(r"&[#\w]+;|\w", _one_shape, text)


def _one_shape(found: re.Match[str]) -> str:
    char = found.group()
    if char.startswith("&"):
        return char
    if char.isdigit():
        return "0"
    return "字" if not char.isascii() else "X" if char.isupper() else "x"


def _words(said: Any) -> None:
    for layer in said["layers"]:
        inside = f" inside {layer['where'].rstrip('!')}" if layer["where"] else ""
        if layer["refused"]:
            terminal.say(f"not looked at{inside}: {layer['refused']}")
        elif not layer["signatures"]:
            terminal.say(f"{layer['root']}{inside}: no signature")
        for one in layer["signatures"]:
            terminal.say(f"signature {one['path']}{inside}")
            form = _tail(one["canonical_form"])
            terminal.say(f"  method {_tail(one['method'])}, canonical form {form} {one['note']}".rstrip())
            if not one["signers"]:
                terminal.say("  VALUE: fits none of the keys given, nor one that the message shows")
            for signer in one["signers"]:
                trust = "" if signer.startswith("pinned") else " (the message's own claim; give --key to trust it)"
                terminal.say(f"  value: fits the key {signer}{trust}")
            terminal.say(f"  signed octets: {one['signed_info']}")
            for part in one["references"]:
                _reference(part)


def _reference(part: Any) -> None:
    terminal.say(f"  reference {part['uri']!r} {'fits' if part['fits'] else 'DOES NOT FIT'}")
    transforms = ", ".join(map(_tail, part["transforms"])) or "none"
    terminal.say(f"    transforms {transforms}; {_tail(part['digest_method'])}")
    terminal.say(f"    stated {part['stated']}\n    ours   {part['ours'] or '-'} {part['note']}")
    for clue in part["fits_if"]:
        terminal.say(f"    it would fit if {clue}")
    if part["differs_at"] is not None:
        apart = part["differs_at"]
        terminal.say(f"    differs from theirs at byte {apart['byte']}\n      ours   {apart['ours']!r}")
        terminal.say(f"      theirs {apart['theirs']!r}")
    if part["octets"] is not None:
        terminal.say(f"    covers {part['bytes']} bytes: {part['octets']}")


def _tail(name: str) -> str:
    """The last words of an algorithm's address."""
    return re.split(r"[#/]", name.removesuffix("#"))[-1] or name
