"""XML encryption of whole application documents, for the kinds of bank that ask for it (README.md section 5).

libxmlsec encrypts and makes the session key. Decrypting is done by hand after an exact structure check: one
EncryptedData, one EncryptedKey, the algorithms we know, and no reference to anything.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from lxml import etree

from protocols.kit import xmldoc
from protocols.kit.charset import UTF8
from protocols.kit.dsig import DS
from protocols.kit.dsig.stack import xmlsec_module
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import one, text

XENC: Final = "http://www.w3.org/2001/04/xmlenc#"
RSA_1_5: Final = XENC + "rsa-1_5"
CIPHERS: Final = {"tripledes-cbc": XENC + "tripledes-cbc", "aes256-cbc": XENC + "aes256-cbc"}
_E: Final = f"{{{XENC}}}"
_D: Final = f"{{{DS}}}"
_KEY_BYTES: Final = {CIPHERS["tripledes-cbc"]: 24, CIPHERS["aes256-cbc"]: 32}
_BLOCK_BYTES: Final = {CIPHERS["tripledes-cbc"]: 8, CIPHERS["aes256-cbc"]: 16}
_SHAPE: Final = (f"{_E}EncryptionMethod", f"{_D}KeyInfo", f"{_E}CipherData")


def is_encrypted(data: bytes) -> bool:
    """True if a document is an EncryptedData element and nothing else."""
    return xmldoc.parse(data, UTF8).tag == f"{_E}EncryptedData"


def encrypt(document: bytes, cipher: str, certificate_pem: bytes) -> bytes:
    """The document as an EncryptedData for the owner of the certificate's key. Raises "value" if it cannot be
    encrypted."""
    xmlsec: Any = xmlsec_module()
    words = xmlsec.constants
    method = {"tripledes-cbc": words.TransformDes3Cbc, "aes256-cbc": words.TransformAes256Cbc}[cipher]
    size, kind = (192, words.KeyDataDes) if cipher == "tripledes-cbc" else (256, words.KeyDataAes)
    root = xmldoc.parse(document, UTF8)
    template = xmlsec.template.encrypted_data_create(root, method, type=words.TypeEncElement, ns="xenc")
    xmlsec.template.encrypted_data_ensure_cipher_value(template)
    info = xmlsec.template.encrypted_data_ensure_key_info(template, ns="ds")
    wrapped = xmlsec.template.add_encrypted_key(info, words.TransformRsaPkcs1)
    xmlsec.template.encrypted_data_ensure_cipher_value(wrapped)
    keys = xmlsec.KeysManager()
    keys.add_key(xmlsec.Key.from_memory(certificate_pem, words.KeyDataFormatCertPem))
    context = xmlsec.EncryptionContext(keys)
    context.key = xmlsec.Key.generate(kind, size, words.KeyDataTypeSession)
    try:
        return etree.tostring(context.encrypt_xml(template, root), encoding="utf-8")
    except xmlsec.Error as error:
        raise ProtocolError("value", f"the message cannot be encrypted: {error}") from None


def decrypt(document: bytes, key_pem: bytes) -> bytes:
    """The content of an EncryptedData. Raises ProtocolError unless it is exactly of our form and for this key."""
    root = xmldoc.parse(document, UTF8)
    if root.tag != f"{_E}EncryptedData":
        raise ProtocolError("structure", "not an encrypted document")
    method, info, data = _shaped(root)
    [wrapped] = _exactly(info, (f"{_E}EncryptedKey",))
    key_method, *_, key_data = _shaped(wrapped)
    algorithm = str(method.get("Algorithm"))
    if algorithm not in _KEY_BYTES or key_method.get("Algorithm") != RSA_1_5:
        raise ProtocolError("algorithm", f"encrypted with {algorithm} under {key_method.get('Algorithm')}")
    private = load_pem_private_key(key_pem, None)
    if not isinstance(private, RSAPrivateKey):
        raise ProtocolError("wrong_key", "the decryption key is not RSA")
    try:
        session = private.decrypt(_value(key_data), PKCS1v15())
    except ValueError:
        raise ProtocolError("wrong_key", "the session key cannot be unwrapped with our key") from None
    if len(session) != _KEY_BYTES[algorithm]:
        raise ProtocolError("wrong_key", "the session key is not for us, or not of its cipher's length")
    return _opened(algorithm, session, _value(data))


def _opened(algorithm: str, session: bytes, sealed: bytes) -> bytes:
    block = _BLOCK_BYTES[algorithm]
    if len(sealed) < 2 * block or len(sealed) % block:
        raise ProtocolError("value", "the cipher text is not whole")
    cipher = TripleDES(session) if block == 8 else AES(session)
    decryptor = Cipher(cipher, CBC(sealed[:block])).decryptor()
    plain = decryptor.update(sealed[block:]) + decryptor.finalize()
    if not 1 <= plain[-1] <= block:
        raise ProtocolError("value", "the cipher text does not open to a document")
    return plain[: -plain[-1]]


def _shaped(element: etree._Element) -> list[etree._Element]:
    """EncryptionMethod, KeyInfo (the wrapped key itself has none) and CipherData. Refuses an element with other
    children."""
    names = _SHAPE if len(element) == 3 else (_SHAPE[0], _SHAPE[2])
    return _exactly(element, names)


def _exactly(element: etree._Element, names: tuple[str, ...]) -> list[etree._Element]:
    children = list(element)
    if tuple(child.tag for child in children) != names:
        raise ProtocolError("structure", f"{element.tag!r} does not hold what an encrypted message holds")
    return children


def _value(data: etree._Element) -> bytes:
    _exactly(data, (f"{_E}CipherValue",))
    try:
        return base64.b64decode("".join(text(one(data, f"{_E}CipherValue")).split()), validate=True)
    except (binascii.Error, ValueError):
        raise ProtocolError("value", "a cipher value is not base64") from None
