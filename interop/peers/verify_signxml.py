"""Prints signxml's verdict, a line for each file: CERTIFICATE (REFERENCES FILE)... Runs in the peers' environment."""

from __future__ import annotations

import sys
from pathlib import Path

from cryptography.x509 import load_pem_x509_certificate
from signxml import SignatureConfiguration, XMLVerifier
from signxml.exceptions import InvalidInput, SignXMLException


def main(certificate: str, words: list[str]) -> None:
    """Print a line for each file."""
    pinned = load_pem_x509_certificate(Path(certificate).read_bytes())
    for count, file in zip(words[::2], words[1::2], strict=True):
        asked = SignatureConfiguration(expect_references=int(count), location=".//")
        try:
            XMLVerifier().verify(Path(file).read_bytes(), x509_cert=pinned, id_attribute="Id", expect_config=asked)
        except InvalidInput:
            raise
        except SignXMLException as refusal:
            print("invalid", file, repr(refusal).replace("\n", " "))
        else:
            print("valid", file)


main(sys.argv[1], sys.argv[2:])
