"""The manifest of a built package: the SHA-256 of each file, in the form of `sha256sum`, and its signature.

    python -m setup.deb.manifest MANIFEST ABOUT FILE ... [--sign KEY.pem]

FILE stands in the folder of MANIFEST. KEY.pem is an Ed25519 private key (`openssl genpkey -algorithm ed25519`); the
signature goes to MANIFEST.sig. Two commands that every Debian has verify both:

    openssl pkeyutl -verify -rawin -pubin -inkey release.pub -in MANIFEST -sigfile MANIFEST.sig
    sha256sum --strict -c MANIFEST
"""

from __future__ import annotations

import argparse
import getpass
import hashlib
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key


def manifest_text(folder: Path, about: str, files: list[str]) -> str:
    """One comment that says what was built, then a line for each file."""
    lines = [f"# {about}"]
    for name in files:
        with (folder / name).open("rb") as octets:
            lines.append(f"{hashlib.file_digest(octets, 'sha256').hexdigest()}  {name}")
    return "\n".join(lines) + "\n"


def signing_key(file: Path) -> Ed25519PrivateKey:
    """The private key of a release; asks for its passphrase if it has one. Exits with a sentence if it is another."""
    octets = file.read_bytes()
    passphrase = getpass.getpass(f"passphrase of {file}: ").encode() if b"ENCRYPTED" in octets else None
    key = load_pem_private_key(octets, passphrase)
    if not isinstance(key, Ed25519PrivateKey):
        raise SystemExit(f"{file} is no Ed25519 key: openssl genpkey -algorithm ed25519 -aes256 -out {file}")
    return key


def main() -> None:
    """Write the manifest, and its signature if there is a key."""
    parser = argparse.ArgumentParser()
    parser.add_argument("manifest", type=Path)
    parser.add_argument("about")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--sign", type=Path)
    asked = parser.parse_args()
    text = manifest_text(asked.manifest.parent, asked.about, asked.files)
    asked.manifest.write_text(text, "utf-8")
    signature = asked.manifest.with_name(f"{asked.manifest.name}.sig")
    # The signature of an earlier build would not fit.
    signature.unlink(missing_ok=True)
    if asked.sign is None:
        print(f"wrote {asked.manifest}, unsigned: SIGN_KEY names the key of a release")
        return
    signature.write_bytes(signing_key(asked.sign).sign(text.encode()))
    print(f"wrote {asked.manifest} and its signature {signature.name}")


if __name__ == "__main__":
    main()
