"""The root of an evidence pack: the SHA-256 of its manifest, as people read it, type it and scan it.

The manifest has the hash of every file of the pack and the verdict on every case. A paper that states the root, and
that both sides signed, therefore fixes the whole pack: nobody can change it later, the holder of the signing key
included.
"""

from __future__ import annotations

import hashlib
import io
import re

_HEX = re.compile(r"[0-9a-f]{64}")


def root_of(manifest: bytes) -> str:
    """The root of a pack with these bytes as `manifest.json`: 64 hexadecimal digits."""
    return hashlib.sha256(manifest).hexdigest()


def read_root(text: str) -> str:
    """A root as a person typed it: in groups or not, in capitals or not. Raises ValueError for anything else."""
    plain = re.sub(r"[\s:-]", "", text).lower()
    if _HEX.fullmatch(plain) is None:
        raise ValueError(f"a root has 64 hexadecimal digits; this has {len(plain)} characters: {text[:80]}")
    return plain


def grouped(digits: str) -> str:
    """The digits in groups of four, as a paper shows them."""
    return " ".join(digits[n : n + 4] for n in range(0, len(digits), 4))


def short(root: str) -> str:
    """The first eight digits, in two groups: the foot of each page has them."""
    return grouped(root[:8])


def qr_svg(root: str) -> str:
    """The QR code of a root as an SVG image of black squares; its text is the root in capitals.

    Empty without the extra that brings segno.
    """
    try:
        import segno
    except ImportError:
        return ""
    out = io.BytesIO()
    segno.make_qr(root.upper(), error="m").save(out, kind="svg", xmldecl=False, border=4, omitsize=True)
    return out.getvalue().decode("utf-8").strip()
