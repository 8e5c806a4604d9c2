"""Passwords for signing in: which passwords are refused, and argon2id hashes of the others (RFC 9106, second
recommended option).
"""

from __future__ import annotations

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

LEAST_CHARACTERS = 12
MOST_CHARACTERS = 128
_HASHER = PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=4, hash_len=32, salt_len=16, type=Type.ID)


def why_weak(password: str, name: str) -> str:
    """Why this password is refused for the person of that name; "" if it is taken."""
    if not LEAST_CHARACTERS <= len(password) <= MOST_CHARACTERS:
        return f"a password has {LEAST_CHARACTERS} to {MOST_CHARACTERS} characters"
    if len(set(password)) < LEAST_CHARACTERS // 2:
        return f"a password has at least {LEAST_CHARACTERS // 2} different characters"
    if name.lower() in password.lower():
        return "a password does not contain its person's name"
    return ""


def hashed(password: str, salt: bytes) -> str:
    """The password's hash in the PHC string format, with its parameters. `salt` are 16 random bytes."""
    return _HASHER.hash(password, salt=salt)


def fits(password: str, stored: str) -> bool:
    """True if `stored` is a hash of this password. Takes about 50 ms and 64 MB."""
    try:
        return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
