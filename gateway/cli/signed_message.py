"""The report of `bankgw explain` on a signed message: what was signed, what each reference covers, why a digest
differs.
"""

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
# Attributes whose values belong to the signature and never to a person.
_OPEN_ATTRIBUTES: Final = re.compile(r"xmlns(:.*)?|Algorithm|URI|Type|ValueType|EncodingType|(.*:)?Id")
_OPEN_ELEMENTS: Final = re.compile(r"<(\w+:)?(DigestValue|SignatureValue|X509Certificate|Created|Expires)[ >]")


@dataclass(frozen=True, slots=True)
class SignatureOptions:
    """The options of `bankgw explain`.

    Trusted keys, the other side's octets, charset, a folder for signed octets. `sha1`: SHA-1 does not count as a
    mistake; `clear`: octets are shown unmasked.
    """

    keys: Sequence[Path]
    against: Path | None
    charset: str
    save: Path | None
    sha1: bool
    clear: bool


def explain(file: Path, asked: SignatureOptions, *, as_json: bool) -> int:
    """Print what the file's signatures cover; returns the exit code. Ends the command when the file cannot be read."""
    try:
        data, other = _read(file), None if asked.against is None else _content(asked.against)
        keys = _keys(asked.keys)
        words = Charset(asked.charset or _declared(data))
    except OSError as error:
        why = error.strerror
        output.leave(
            exit_codes.FAILED,
            (f"{error.filename}: cannot be read ({why})", f"{error.filename}：无法读取（{output.os_reason(error)}）"),
        )
    except ProtocolError as error:
        output.leave(exit_codes.USAGE, output.explained(error, "密钥或字符集无法采用："))
    dsig.start()
    layers = list(_layers(data, words, tuple(key for key, _ in keys)))
    if b"<" not in data and not any(found.signatures for _, found in layers):
        output.leave(exit_codes.FAILED, (f"{file}: no XML and no CMS in it", f"{file}：其中没有 XML，也没有 CMS"))
    if asked.save is not None:
        _save(asked.save, layers)
    best = _nearest(layers, other)
    named = {one.fingerprint: name for one, name in keys}
    show = _FindingsView(charset=words, other=other, nearest=best, named=named, clear=asked.clear)
    said = {"layers": [show.layer(where, found) for where, found in layers]}
    good = _is_good(layers, trusted_only=bool(keys), sha1=asked.sha1)
    output.show({**said, "good": good}, as_json=as_json, words=_words)
    return exit_codes.OK if good else exit_codes.FAILED


def _is_good(layers: Sequence[tuple[str, dsig.SignatureReport]], *, trusted_only: bool, sha1: bool) -> bool:
    signatures = [one for _, found in layers for one in found.signatures]
    word = "pinned " if trusted_only else ""
    return (
        bool(signatures)
        and not any(found.uncovered for _, found in layers)
        and all(
            any(signer.startswith(word) for signer in one.signers)
            and all(part.fits for part in one.covered)
            and not [weak for weak in one.weak if not (sha1 and weak.endswith("SHA-1"))]
            for one in signatures
        )
    )


def _content(file: Path) -> bytes:
    """The whole content of an ordinary file, or of stdin. Raises OSError; ends the command if the file is not an
    ordinary one, or too large."""
    if str(file) == "-":
        data = sys.stdin.buffer.read(dsig.EXPLAINED_BYTES_MAX + 1)
    else:
        # A pipe without a writer would block for ever, and a device has no end.
        if file.exists() and not file.is_file() and not file.is_dir():
            output.leave(exit_codes.FAILED, (f"{file}: not an ordinary file", f"{file}：不是普通文件"))
        with file.open("rb") as opened:
            data = opened.read(dsig.EXPLAINED_BYTES_MAX + 1)
    if len(data) > dsig.EXPLAINED_BYTES_MAX:
        most = dsig.EXPLAINED_BYTES_MAX
        output.leave(
            exit_codes.FAILED,
            (f"{file}: over {most} bytes; cut the message out of it", f"{file}：超过 {most} 字节；请只截取该报文"),
        )
    return data


def _read(file: Path) -> bytes:
    """The document in a file, without an HTTP head or the digits of a length before it."""
    data = _content(file)
    if not data.strip():
        output.leave(exit_codes.FAILED, (f"{file}: is empty", f"{file}：内容为空"))
    if data.startswith((b"HTTP/", b"POST ", b"PUT ")):
        try:
            data = (http.parse_answer if data.startswith(b"HTTP/") else http.parse_request)(data).body
        except ProtocolError:
            data = data.partition(b"\r\n\r\n")[2] or data  # the message is incomplete; the part that exists is examined
    begins = data.find(b"<")
    return data if data[:1] == b"\x30" or begins < 0 else data[begins : data.rfind(b">") + 1]


def _declared(data: bytes) -> str:
    """The charset that the message declares, if it is known; without a declaration, a guess."""
    found = _DECLARES.search(data[:1024])
    name = "" if found is None else found.group(1).decode("ascii")
    try:
        return Charset(name).name
    except ProtocolError:
        return "UTF-8" if _is_utf8(data) else "GB18030"


def _keys(files: Sequence[Path]) -> list[tuple[dsig.PinnedKey, str]]:
    """Every key in these files, each with its file. Raises OSError, ProtocolError "wrong_key"."""
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
) -> Iterator[tuple[str, dsig.SignatureReport]]:
    """The message, and messages inside it in base64. Content that is signed as a whole (CMS) follows its place."""
    wrapped = list(cms.found_in(data))
    if data[:1] != b"\x30" or not wrapped:
        found = dsig.explain(data, keys=keys, charset=charset)
        # If the page around a CMS is no XML, the CMS is the message in question.
        if not (found.refused and wrapped):
            yield where, found
    for at, der in wrapped:
        yield f"{where}CMS at byte {at}!", cms.explain(der, keys)
    if depth < _DEPTH_MAX:
        for path, inner in dsig.embedded(data, charset):
            yield from _layers(inner, charset, keys, f"{where}{path}!", depth + 1)


def _octets(layers: Sequence[tuple[str, dsig.SignatureReport]]) -> Iterator[tuple[str, bytes]]:
    """All signed or hashed octets, each with a name for its file."""
    number = 0
    for _, found in layers:
        for one in found.signatures:
            number += 1
            if one.octets is not None:
                yield f"{number}-signed", one.octets
            for count, part in enumerate(one.covered, 1):
                if part.octets is not None:
                    yield f"{number}-reference-{count}", part.octets


def _save(folder: Path, layers: Sequence[tuple[str, dsig.SignatureReport]]) -> None:
    try:
        folder.mkdir(mode=0o700)
        for name, octets in _octets(layers):
            (folder / name).write_bytes(octets)
    except OSError as error:
        why = error.strerror
        output.leave(
            exit_codes.FAILED,
            (
                f"{error.filename}: cannot be written ({why})",
                f"{error.filename}：无法写入（{output.os_reason(error)}）",
            ),
        )


def _nearest(layers: Sequence[tuple[str, dsig.SignatureReport]], other: bytes | None) -> bytes | None:
    """Of several octet strings, the one with the longest beginning in common with the other side's octets."""
    if other is None:
        return None
    agreed = {octets: dsig.first_difference(octets, other) for _, octets in _octets(layers)}
    return max(agreed, key=lambda one: len(one) + 1 if agreed[one] is None else agreed[one] or 0, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _FindingsView:
    """Turns findings into plain data: values are masked unless asked for, and keys are shown by the file that they came
    from."""

    charset: Charset
    other: bytes | None
    nearest: bytes | None
    named: Mapping[str, str]
    clear: bool

    def layer(self, where: str, found: dsig.SignatureReport) -> dict[str, Any]:
        return {
            "where": where,
            "root": found.root,
            "refused": found.refused,
            "uncovered": list(found.uncovered),
            "signatures": [self.signature(one) for one in found.signatures],
            "certificates": [
                {
                    "key": one.key.fingerprint,
                    "bits": one.key.public.key_size,
                    "serial": f"{one.serial:x}",
                    "subject": one.subject if self.clear else _shape(one.subject, keep=_SUBJECT_WORDS),
                    "first_day": one.first_day.isoformat(),
                    "last_day": one.last_day.isoformat(),
                }
                for one in found.shown
            ],
        }

    def signature(self, one: dsig.ExplainedSignature) -> dict[str, Any]:
        return {
            "path": one.path,
            "canonical_form": one.c14n,
            "method": one.method,
            "note": one.note,
            "weak": list(one.weak),
            "signers": [self.key(name) for name in one.signers],
            "meant": [
                {
                    "signer": self.key(made.signer),
                    "digest_method": made.digest,
                    "stated": made.stated,
                    "ours": made.ours,
                    "fits_if": list(made.fits_if),
                }
                for made in one.meant
            ],
            "bytes": None if one.octets is None else len(one.octets),
            "signed_info": self.octets(one.octets),
            "differs_at": self.difference(one.octets),
            "references": [self.reference(part) for part in one.covered],
        }

    def reference(self, part: dsig.CoveredReference) -> dict[str, Any]:
        return {
            "uri": part.uri,
            "path": part.path,
            "transforms": list(part.transforms),
            "digest_method": part.digest,
            "fits": part.fits,
            "stated": part.expected,
            "ours": part.actual,
            "note": part.note,
            "later": part.later,
            "fits_if": list(part.fits_if),
            "bytes": None if part.octets is None else len(part.octets),
            "octets": self.octets(part.octets),
            "differs_at": self.difference(part.octets),
        }

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
    """A document of which only the shape is kept: markup, blanks and lengths stay, letters and digits are replaced.

    Of a long text without a blank, such as base64, only the length stays.

    The signature's own values (algorithms, digests, certificates, times) stay readable.
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
    """Each letter as x or X, each digit as 0, each character of another script as 字; entities, punctuation and `keep`
    stay."""
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
        where = layer["where"].rstrip("!")
        inside = output.in_language((f" inside {where}", f"（在 {where} 内）")) if layer["where"] else ""
        if layer["refused"]:
            output.say((f"not looked at{inside}: {layer['refused']}", f"未查看{inside}：\n{layer['refused']}"))
        elif not layer["signatures"]:
            sealed = ("encrypted, so nothing in it can be seen", "已加密，无法看到其内容")
            english, chinese = sealed if layer["root"].endswith(_SEALED) else ("no signature", "没有签名")
            output.say((f"{layer['root']}{inside}: {english}", f"{layer['root']}{inside}：{chinese}"))
        for one in layer["signatures"]:
            _signature(one, inside)
        for path in layer["uncovered"]:
            output.say(
                (f"NOT SIGNED{inside}: {path}; no reference covers it", f"未签名{inside}：{path}，没有引用覆盖它")
            )
        for one in layer["certificates"]:
            _certificate(one, inside)
    output.say(("all good", "全部有效") if said["good"] else ("NOT good: see above", "无效：见上"))


def _certificate(one: Any, inside: str) -> None:
    serial, subject, key = one["serial"], one["subject"], one["key"]
    first, last, bits = one["first_day"], one["last_day"], one["bits"]
    output.say(
        (
            f"shown{inside}: certificate {serial} of {subject}, {first} to {last}, {bits} bits, key {key}",
            f"所附{inside}：证书 {serial}，主体 {subject}，{first} 至 {last}，{bits} 位，密钥 {key}",
        )
    )


def _signature(one: Any, inside: str) -> None:
    output.say((f"signature {one['path']}{inside}", f"签名 {one['path']}{inside}"))
    canonical, method, note = _tail(one["canonical_form"] or ""), _tail(one["method"]), one["note"]
    form = output.in_language((f", canonical form {canonical}", f"，规范化 {canonical}")) if canonical else ""
    output.say((f"  method {method}{form} {note}".rstrip(), f"  算法 {method}{form} {note}".rstrip()))
    for weak in one["weak"]:
        output.say((f"  WEAK: {weak}", f"  弱算法：{weak}"))
    if not one["signers"]:
        output.say(
            (
                "  VALUE: fits none of the keys given, nor one that the message shows",
                "  签名值：与所给的密钥及报文所附的密钥均不符",
            )
        )
    for signer in one["signers"]:
        claim = (" (the message's own claim; give --key to trust it)", "（报文自称；要信任请给出 --key）")
        english, chinese = ("", "") if signer.startswith("pinned") else claim
        output.say((f"  value: fits the key {signer}{english}", f"  签名值：与密钥 {signer} 相符{chinese}"))
    for made in one["meant"]:
        signer, method, stated, ours = made["signer"], made["digest_method"], made["stated"], made["ours"]
        output.say(
            (
                f"  made with the key {signer}, but over other octets than these:\n"
                f"    signed {method} {stated}\n    ours   {ours}",
                f"  以密钥 {signer} 签署，但所签的不是这些内容：\n    所签 {method} {stated}\n    我方 {ours}",
            )
        )
        _clues(made["fits_if"])
    output.say((f"  signed octets: {one['signed_info']}", f"  所签原文：{one['signed_info']}"))
    _apart(one["differs_at"])
    for part in one["references"]:
        _reference(part)


def _reference(part: Any) -> None:
    fits = ("fits", "相符") if part["fits"] else ("DOES NOT FIT", "不符")
    output.say((f"  reference {part['uri']!r} {fits[0]}", f"  引用 {part['uri']!r} {fits[1]}"))
    transforms, method = ", ".join(map(_tail, part["transforms"])), _tail(part["digest_method"])
    output.say((f"    transforms {transforms or 'none'}; {method}", f"    变换 {transforms or '无'}；{method}"))
    for word, chinese, digest in (("stated", "所载", part["stated"]), ("ours", "我方", part["ours"])):
        plain = f"{digest} = base64 {base64.b64encode(bytes.fromhex(digest)).decode()}" if digest else "-"
        output.say((f"    {word:6} {plain}", f"    {chinese} {plain}"))
    if part["note"]:
        output.say(f"    {part['note']}")
    _clues(part["fits_if"])
    _apart(part["differs_at"])
    if part["octets"] is not None:
        path, later, size, octets = part["path"], part["later"], part["bytes"], part["octets"]
        english, chinese = (
            (f", as it was before {later} more signed", f"（其后又有 {later} 个签名）") if later else ("", "")
        )
        output.say(
            (f"    covers {path}{english}, {size} bytes: {octets}", f"    覆盖 {path}{chinese}，{size} 字节：{octets}")
        )


def _clues(fits_if: Sequence[str]) -> None:
    for clue in fits_if:
        output.say((f"    it would fit if {clue}", f"    在此情形下相符：{clue}"))


def _apart(found: Any) -> None:
    if found is None:
        return
    if found["byte"] is None:
        output.say(("    theirs are the same octets", "    与对方的原文相同"))
        return
    byte, ours, theirs = found["byte"], found["ours"], found["theirs"]
    output.say(
        (
            f"    differs from theirs at byte {byte}\n      ours   {ours!r}\n      theirs {theirs!r}",
            f"    与对方自第 {byte} 字节起不同\n      我方 {ours!r}\n      对方 {theirs!r}",
        )
    )


def _tail(name: str) -> str:
    """The last part of an algorithm's URI."""
    return re.split(r"[#/]", name.removesuffix("#"))[-1] or name
