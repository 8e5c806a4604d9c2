"""Six programs verify our signatures, and must refuse the same messages with one character changed."""

from __future__ import annotations

import shutil
from pathlib import Path

from interop.peer import NODE, PROGRAMS, PYTHON, PeerDisagrees, must, run
from interop.samples import Samples, Signed

WSU = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
_NAMES = (("http://schemas.xmlsoap.org/soap/envelope/", "Body"), (WSU, "Timestamp"))


def xmlsec1(samples: Samples) -> str:
    """libxmlsec's own command."""
    options = [word for space, name in _NAMES for word in ("--id-attr:Id", f"{space}:{name}")]
    for one in samples.signed:
        for file, good in ((one.file, True), (one.changed, False)):
            done = run(["xmlsec1", "--verify", "--pubkey-pem", samples.public, *options, file])
            _judge("xmlsec1", one, done.returncode == 0, good, done.stderr)
    return _verified(samples)


def xml_security_c(samples: Samples) -> str:
    """Apache XML Security for C++, with the pinned key. Debian's own command cannot be used (see checksig.cpp)."""
    program, files = samples.folder / "checksig", [file for one in samples.signed for file in (one.file, one.changed)]
    must(
        run(["g++", "-std=c++17", "-O1", "-o", program, PROGRAMS / "checksig.cpp", "-lxml-security-c", "-lxerces-c"]),
        "building checksig.cpp",
    )
    _verdicts("xml-security-c", samples, files, must(run([program, samples.certificate, *files]), "xml-security-c"))
    return _verified(samples)


def java(samples: Samples) -> str:
    """javax.xml.crypto.dsig of the JDK, in secure validation, with the pinned key."""
    files = [file for one in samples.signed for file in (one.file, one.changed)]
    if shutil.which("java") is None:
        raise PeerDisagrees("java is not installed; `make interop` tries to")
    _verdicts(
        "java", samples, files, must(run(["java", PROGRAMS / "Verify.java", samples.certificate, *files]), "java")
    )
    return _verified(samples)


def signxml(samples: Samples) -> str:
    """signxml, which is independent of libxmlsec."""
    files = [file for one in samples.signed for file in (one.shown, one.changed)]
    counts = [str(one.references) for one in samples.signed for _ in (0, 1)]
    words = [word for pair in zip(counts, files, strict=True) for word in pair]
    told = must(run([PYTHON, PROGRAMS / "verify_signxml.py", samples.certificate, *words]), "signxml")
    _verdicts("signxml", samples, files, told)
    return _verified(samples)


def xml_crypto(samples: Samples) -> str:
    """xml-crypto of npm, which has its own canonicalisation."""
    files = [file for one in samples.signed for file in (one.file, one.changed)]
    if shutil.which("node") is None:
        raise PeerDisagrees("node is not installed; `make interop` tries to")
    counts = [str(one.references) for one in samples.signed for _ in (0, 1)]
    words = [word for pair in zip(counts, files, strict=True) for word in pair]
    told = must(run(["node", PROGRAMS / "node/verify.cjs", samples.public, *words], NODE_PATH=str(NODE)), "xml-crypto")
    _verdicts("xml-crypto", samples, files, told)
    return _verified(samples)


def openssl(samples: Samples) -> str:
    """OpenSSL: the CMS message, the certificate request, and every signature over its octets."""
    command: list[str | Path] = ["openssl", "cms", "-verify", "-inform", "DER", "-binary", "-nointern", "-noverify"]
    command += ["-certfile", samples.certificate, "-in"]
    out = samples.folder / "cms-content"
    must(run([*command, samples.cms, "-out", out]), "openssl cms")
    if out.read_bytes() != samples.cms_content:
        raise PeerDisagrees("openssl cms reads another content")
    must(run(["openssl", "req", "-inform", "DER", "-in", samples.csr, "-verify", "-noout"]), "openssl req")
    spoiled = _spoiled(samples.cms, samples.cms_content[-8:])
    if run([*command, spoiled, "-out", out]).returncode == 0:
        raise PeerDisagrees("openssl cms took a changed message")
    for one in samples.detached:
        verify: list[str | Path] = ["openssl", "dgst", "-sha256", "-verify", samples.public]
        verify += ["-signature", one.signature]
        must(run([*verify, one.octets]), f"openssl dgst, {one.name}")
        if run([*verify, _spoiled(one.octets, one.octets.read_bytes()[-8:])]).returncode == 0:
            raise PeerDisagrees(f"{one.name}: openssl took changed octets")
    return f"1 CMS message, 1 certificate request and {len(samples.detached)} signatures verified, changed ones refused"


def _spoiled(file: Path, old: bytes) -> Path:
    """A copy with one bit of `old` changed."""
    spoiled = file.with_suffix(".spoiled")
    data = file.read_bytes()
    at = data.index(old)
    spoiled.write_bytes(data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :])
    return spoiled


def _verdicts(peer: str, samples: Samples, files: list[Path], told: str) -> None:
    """The verdicts in `told`, which has a line for each file that begins with `valid` or `invalid`."""
    lines = told.splitlines()
    if len(lines) != len(files):
        raise PeerDisagrees(f"{peer} said {len(lines)} words about {len(files)} files: {told[:200]}")
    for number, line in enumerate(lines):
        _judge(peer, samples.signed[number // 2], line.split(" ")[0] == "valid", number % 2 == 0, line)


def _judge(peer: str, one: Signed, said: bool, good: bool, words: str) -> None:
    if said is not good:
        verdict = "refuses" if good else "takes, though changed,"
        raise PeerDisagrees(f"{peer} {verdict} {one.name}: {' / '.join(words.strip().splitlines()[-4:])}")


def _verified(samples: Samples) -> str:
    return f"{len(samples.signed)} documents verified, each refused with one character changed"
