"""What `bankgw explain` says of a signed message: what was signed, what each reference covers, why a digest differs."""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.cli import exit_codes, output
from protocols.kit import cms, dsig, http
from protocols.kit.charset import Charset
from protocols.kit.errors import ProtocolError

_DEPTH_MAX: Final = 3
_AROUND: Final = 40
_SEALED: Final = "}EncryptedData"
_DECLARES: Final = re.compile(rb"""<\?xml[^>]*encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_PEM: Final = re.compile(rb"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)
_LONG_BASE64: Final = re.compile(r"[xX0+/=]{100,}")
_SUBJECT_WORDS: Final = r"\b[A-Z]{1,12}=|"
_TAG: Final = re.compile(r"(<[^>]*>)")
_ATTRIBUTE: Final = re.compile(r"""([\w:.-]+)=("[^"]*"|'[^']*')""")
# Attributes that carry a signature's own words, never a person's.
_OPEN_ATTRIBUTES: Final = re.compile(r"xmlns(:.*)?|Algorithm|URI|Type|ValueType|EncodingType|(.*:)?Id")
_OPEN_ELEMENTS: Final = re.compile(r"<(\w+:)?(DigestValue|SignatureValue|X509Certificate|Created|Expires)[ >]")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command's options say: trusted keys, the other side's octets, charset, a folder for signed octets;
    `sha1`: SHA-1 is no mistake; `clear`: octets are shown unmasked."""

    keys: Sequence[Path]
    against: Path | None
    charset: str
    save: Path | None
    sha1: bool
    clear: bool


def explain(file: Path, asked: Asked, *, as_json: bool) -> int:
    """Print what the file's signatures cover; the exit code. Ends the command when the file cannot be read."""
    try:
        data, other = _read(file), None if asked.against is None else _content(asked.against)
        keys = _keys(asked.keys)
        words = Charset(asked.charset or _declared(data))
    except OSError as error:
        output.leave(exit_codes.FAILED, f"{error.filename}: cannot be read ({error.strerror})")
    except ProtocolError as error:
        output.leave(exit_codes.USAGE, str(error))
    dsig.start()
    layers = list(_layers(data, words, tuple(key for key, _ in keys)))
    if b"<" not in data and not any(found.signatures for _, found in layers):
        output.leave(exit_codes.FAILED, f"{file}: no XML and no CMS in it")
    if asked.save is not None:
        _save(asked.save, layers)
    best = _nearest(layers, other)
    named = {one.fingerprint: name for one, name in keys}
    show = _Showing(charset=words, other=other, nearest=best, named=named, clear=asked.clear)
    said = {"layers": [show.layer(where, found) for where, found in layers]}
    good = _is_good(layers, trusted_only=bool(keys), sha1=asked.sha1)
    output.show({**said, "good": good}, as_json=as_json, words=_words)
    return exit_codes.OK if good else exit_codes.FAILED


def _is_good(layers: Sequence[tuple[str, dsig.Explained]], *, trusted_only: bool, sha1: bool) -> bool:
    signatures = [one for _, found in layers for one in found.signatures]
    word = "pinned " if trusted_only else ""
    return bool(signatures) and not any(found.uncovered for _, found in layers) and all(
        any(signer.startswith(word) for signer in one.signers)
        and all(part.fits for part in one.covered)
        and not [weak for weak in one.weak if not (sha1 and weak.endswith("SHA-1"))]
        for one in signatures
    )  # fmt: skip


def _content(file: Path) -> bytes:
    """All of an ordinary file, or of stdin. Raises OSError; leaves where it is none, or too large."""
    if str(file) == "-":
        data = sys.stdin.buffer.read(dsig.EXPLAINED_BYTES_MAX + 1)
    else:
        # A pipe without a writer would be waited for without end, a device has no end.
        if file.exists() and not file.is_file() and not file.is_dir():
            output.leave(exit_codes.FAILED, f"{file}: not an ordinary file")
        with file.open("rb") as opened:
            data = opened.read(dsig.EXPLAINED_BYTES_MAX + 1)
    if len(data) > dsig.EXPLAINED_BYTES_MAX:
        output.leave(exit_codes.FAILED, f"{file}: over {dsig.EXPLAINED_BYTES_MAX} bytes; cut the message out of it")
    return data


def _read(file: Path) -> bytes:
    """The document in a file: without the head of HTTP or the digits of a length that may stand before it."""
    data = _content(file)
    if not data.strip():
        output.leave(exit_codes.FAILED, f"{file}: is empty")
    if data.startswith((b"HTTP/", b"POST ", b"PUT ")):
        try:
            data = (http.parse_answer if data.startswith(b"HTTP/") else http.parse_request)(data).body
        except ProtocolError:
            data = data.partition(b"\r\n\r\n")[2] or data  # cut short or cut open: what is there is looked at
    begins = data.find(b"<")
    return data if data[:1] == b"\x30" or begins < 0 else data[begins : data.rfind(b">") + 1]


def _declared(data: bytes) -> str:
    """The charset that the message says it is in, if we know it; where it says nothing, the one that it could be."""
    found = _DECLARES.search(data[:1024])
    name = "" if found is None else found.group(1).decode("ascii")
    try:
        return Charset(name).name
    except ProtocolError:
        return "UTF-8" if _is_utf8(data) else "GB18030"


def _keys(files: Sequence[Path]) -> list[tuple[dsig.PinnedKey, str]]:
    """Every key in these files, and the file. Raises OSError, ProtocolError "wrong_key"."""
    found = []
    for file in files:
        data = _content(file)
        blocks = [one.group() for one in _PEM.finditer(data)]
        for block in blocks or [data]:
            try:
                found.append((dsig.PinnedKey.from_pem(block) if blocks else dsig.PinnedKey.from_der(block), file.name))
            except ProtocolError as error:
                raise ProtocolError(error.reason, f"--key {file}: {error.text}") from None
    return found


def _layers(
    data: bytes, charset: Charset, keys: tuple[dsig.PinnedKey, ...], where: str = "", depth: int = 0
) -> Iterator[tuple[str, dsig.Explained]]:
    """The message, and messages inside it in base64; what is signed as a whole (CMS) stands beside where it was."""
    wrapped = list(cms.found_in(data))
    if data[:1] != b"\x30" or not wrapped:
        found = dsig.explain(data, keys=keys, charset=charset)
        # Where a page around a CMS is no XML, the CMS is what was asked for.
        if not (found.refused and wrapped):
            yield where, found
    for at, der in wrapped:
        yield f"{where}CMS at byte {at}!", cms.explain(der, keys)
    if depth < _DEPTH_MAX:
        for path, inner in dsig.embedded(data, charset):
            yield from _layers(inner, charset, keys, f"{where}{path}!", depth + 1)


def _octets(layers: Sequence[tuple[str, dsig.Explained]]) -> Iterator[tuple[str, bytes]]:
    """All that was signed or hashed, each with a name for its file."""
    number = 0
    for _, found in layers:
        for one in found.signatures:
            number += 1
            if one.octets is not None:
                yield f"{number}-signed", one.octets
            for count, part in enumerate(one.covered, 1):
                if part.octets is not None:
                    yield f"{number}-reference-{count}", part.octets


def _save(folder: Path, layers: Sequence[tuple[str, dsig.Explained]]) -> None:
    try:
        folder.mkdir(mode=0o700)
        for name, octets in _octets(layers):
            (folder / name).write_bytes(octets)
    except OSError as error:
        output.leave(exit_codes.FAILED, f"{error.filename}: cannot be written ({error.strerror})")


def _nearest(layers: Sequence[tuple[str, dsig.Explained]], other: bytes | None) -> bytes | None:
    """Which of the octets the other side's are to be held against: those with which they agree the longest."""
    if other is None:
        return None
    agreed = {octets: dsig.first_difference(octets, other) for _, octets in _octets(layers)}
    return max(agreed, key=lambda one: len(one) + 1 if agreed[one] is None else agreed[one] or 0, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Showing:
    """How findings become plain data: masked unless asked, keys by the file they came from."""

    charset: Charset
    other: bytes | None
    nearest: bytes | None
    named: Mapping[str, str]
    clear: bool

    def layer(self, where: str, found: dsig.Explained) -> dict[str, Any]:
        return {
            "where": where, "root": found.root, "refused": found.refused, "uncovered": list(found.uncovered),
            "signatures": [self.signature(one) for one in found.signatures],
            "certificates": [{
                "key": one.key.fingerprint, "bits": one.key.public.key_size, "serial": f"{one.serial:x}",
                "subject": one.subject if self.clear else _shape(one.subject, keep=_SUBJECT_WORDS),
                "first_day": one.first_day.isoformat(), "last_day": one.last_day.isoformat(),
            } for one in found.shown],
        }  # fmt: skip

    def signature(self, one: dsig.Signed) -> dict[str, Any]:
        return {
            "path": one.path, "canonical_form": one.c14n, "method": one.method, "note": one.note,
            "weak": list(one.weak),
            "signers": [self.key(name) for name in one.signers],
            "meant": [{"signer": self.key(made.signer), "digest_method": made.digest, "stated": made.stated,
                       "ours": made.ours, "fits_if": list(made.fits_if)} for made in one.meant],
            "bytes": None if one.octets is None else len(one.octets),
            "signed_info": self.octets(one.octets), "differs_at": self.difference(one.octets),
            "references": [self.reference(part) for part in one.covered],
        }  # fmt: skip

    def reference(self, part: dsig.Covered) -> dict[str, Any]:
        return {
            "uri": part.uri, "path": part.path, "transforms": list(part.transforms), "digest_method": part.digest,
            "fits": part.fits, "stated": part.expected, "ours": part.actual, "note": part.note, "later": part.later,
            "fits_if": list(part.fits_if), "bytes": None if part.octets is None else len(part.octets),
            "octets": self.octets(part.octets), "differs_at": self.difference(part.octets),
        }  # fmt: skip

    def key(self, signer: str) -> str:
        file = self.named.get(signer.partition(" ")[2])
        return signer if file is None else f"{signer} ({file})"

    def octets(self, octets: bytes | None) -> str | None:
        if octets is None:
            return None
        text = octets.decode(self.charset.decoder if not _is_utf8(octets) else "utf-8", "replace")
        return text if self.clear else masked(text)

    def difference(self, octets: bytes | None) -> dict[str, Any] | None:
        if octets is None or self.other is None or octets != self.nearest:
            return None
        at = dsig.first_difference(octets, self.other)
        if at is None:
            return {"byte": None}
        around = slice(max(at - _AROUND, 0), at + _AROUND)
        cut = [part[around].decode("utf-8", "replace") for part in (octets, self.other)]
        ours, theirs = cut if self.clear else map(_shape, cut)
        return {"byte": at, "ours": ours, "theirs": theirs}


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def masked(document: str) -> str:
    """A document of which only the shape is left: markup, blanks and lengths stay, letters and digits do not.

    Of a long run without a blank, as base64 is, only the length stays.

    What a signature itself says (algorithms, digests, certificates, times) stays readable.
    """
    parts, is_open = [], False
    for part in _TAG.split(document):
        if part.startswith("<"):
            is_open = _OPEN_ELEMENTS.match(part) is not None
            parts.append(_ATTRIBUTE.sub(_attribute, part))
        else:
            parts.append(part if is_open else _LONG_BASE64.sub(_length, _shape(part)))
    return "".join(parts)


def _length(found: re.Match[str]) -> str:
    return f"[{len(found.group())} characters]"


def _attribute(found: re.Match[str]) -> str:
    name, content = found.groups()
    return found.group() if _OPEN_ATTRIBUTES.fullmatch(name) else f"{name}={_shape(content)}"


def _shape(text: str, keep: str = "") -> str:
    """Each letter as x or X, each digit as 0, each other sign of a script as 字; entities, signs and `keep` stay."""
    return re.sub(rf"{keep}&[#\w]+;|\w", _one_shape, text)


def _one_shape(found: re.Match[str]) -> str:
    char = found.group()
    if len(char) > 1:
        return char
    if char.isdigit():
        return "0"
    return "字" if not char.isascii() else "X" if char.isupper() else "x"


def _words(said: Any) -> None:
    for layer in said["layers"]:
        inside = f" inside {layer['where'].rstrip('!')}" if layer["where"] else ""
        if layer["refused"]:
            output.say(f"not looked at{inside}: {layer['refused']}")
        elif not layer["signatures"]:
            said_of = "encrypted, so nothing in it can be seen" if layer["root"].endswith(_SEALED) else "no signature"
            output.say(f"{layer['root']}{inside}: {said_of}")
        for one in layer["signatures"]:
            _signature(one, inside)
        for path in layer["uncovered"]:
            output.say(f"NOT SIGNED{inside}: {path}; no reference covers it")
        for one in layer["certificates"]:
            output.say(f"shown{inside}: certificate {one['serial']} of {one['subject']}, {one['first_day']} to "
                         f"{one['last_day']}, {one['bits']} bits, key {one['key']}")  # fmt: skip
    output.say("all good" if said["good"] else "NOT good: see above")


def _signature(one: Any, inside: str) -> None:
    output.say(f"signature {one['path']}{inside}")
    form = f", canonical form {_tail(one['canonical_form'])}" if one["canonical_form"] else ""
    output.say(f"  method {_tail(one['method'])}{form} {one['note']}".rstrip())
    for weak in one["weak"]:
        output.say(f"  WEAK: {weak}")
    if not one["signers"]:
        output.say("  VALUE: fits none of the keys given, nor one that the message shows")
    for signer in one["signers"]:
        trust = "" if signer.startswith("pinned") else " (the message's own claim; give --key to trust it)"
        output.say(f"  value: fits the key {signer}{trust}")
    for made in one["meant"]:
        output.say(f"  made with the key {made['signer']}, but over other octets than these:")
        output.say(f"    signed {made['digest_method']} {made['stated']}\n    ours   {made['ours']}")
        _clues(made["fits_if"])
    output.say(f"  signed octets: {one['signed_info']}")
    _apart(one["differs_at"])
    for part in one["references"]:
        _reference(part)


def _reference(part: Any) -> None:
    output.say(f"  reference {part['uri']!r} {'fits' if part['fits'] else 'DOES NOT FIT'}")
    transforms = ", ".join(map(_tail, part["transforms"])) or "none"
    output.say(f"    transforms {transforms}; {_tail(part['digest_method'])}")
    for word, digest in (("stated", part["stated"]), ("ours", part["ours"])):
        plain = f"{digest} = base64 {base64.b64encode(bytes.fromhex(digest)).decode()}" if digest else "-"
        output.say(f"    {word:6} {plain}")
    if part["note"]:
        output.say(f"    {part['note']}")
    _clues(part["fits_if"])
    _apart(part["differs_at"])
    if part["octets"] is not None:
        later = f", as it was before {part['later']} more signed" if part["later"] else ""
        output.say(f"    covers {part['path']}{later}, {part['bytes']} bytes: {part['octets']}")


def _clues(fits_if: Sequence[str]) -> None:
    for clue in fits_if:
        output.say(f"    it would fit if {clue}")


def _apart(found: Any) -> None:
    if found is None:
        return
    if found["byte"] is None:
        output.say("    theirs are the same octets")
        return
    output.say(f"    differs from theirs at byte {found['byte']}\n      ours   {found['ours']!r}")
    output.say(f"      theirs {found['theirs']!r}")


def _tail(name: str) -> str:
    """The last words of an algorithm's address."""
    return re.split(r"[#/]", name.removesuffix("#"))[-1] or name
