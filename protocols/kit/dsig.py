"""XML signatures by profile: what exactly a bank signs, where, and with which algorithms, as data.

Signing has three steps, so that the key can live elsewhere: `prepare` gives the octets to sign, a signer signs them,
`attach` gives the document. Verifying answers one question only: is this document exactly of the profile's shape and
signed by a pinned key? What it returns is the tree of the very bytes the signature covers; nothing else may be read.

Before anything is computed, the structure of the signature must be exactly the profile's (`gate`): no other
reference, transform, algorithm, key source or place is ever looked at, let alone resolved.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any, Final, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import Certificate
from lxml import etree

from protocols.kit import dsig_gate as gate
from protocols.kit import xmldoc
from protocols.kit.charset import UTF8, Charset
from protocols.kit.dsig_profile import DS, ById, Enveloped, Profile, digest_of
from protocols.kit.errors import ProtocolError
