"""Factors: passwords, one-time codes, lock-out, and how long a session lasts."""

from __future__ import annotations

import pytest

from gateway.people.rules import one_time_codes, passwords
from gateway.people.rules.lockouts import LOCKED_MS, MOST_FAILURES, SignInAttempts
from gateway.people.rules.sessions import PersonSession, SessionLimits

NOW = 1_800_000_000_000
# RFC 6238, appendix B: the secret of its SHA-1 rows, and their last six digits.
SECRET = one_time_codes.secret_of(b"12345678901234567890")
VECTORS = [
    (59, "287082"),
    (1_111_111_109, "081804"),
    (1_111_111_111, "050471"),
    (1_234_567_890, "005924"),
    (2_000_000_000, "279037"),
    (20_000_000_000, "353130"),
]


@pytest.mark.parametrize(("at_s", "code"), VECTORS)
def test_codes_are_those_of_the_standard(at_s: int, code: str) -> None:
    assert one_time_codes.step_of(SECRET, code, at_s * 1000, 0) == at_s // 30


def test_a_code_is_good_once_and_for_a_step_beside() -> None:
    step = NOW // 30_000
    code = one_time_codes.code_at(SECRET, step)
    for later in (-30_000, 0, 30_000):
        assert one_time_codes.step_of(SECRET, code, NOW + later, step - 5) == step
    for later in (-60_000, 60_000):
        assert one_time_codes.step_of(SECRET, code, NOW + later, 0) is None
    assert one_time_codes.step_of(SECRET, code, NOW, step) is None, "used"
    before = one_time_codes.code_at(SECRET, step - 1)
    assert one_time_codes.step_of(SECRET, before, NOW, step) is None, "older than one that was used"
    for bad in ("", "0000000", "①②③④⑤⑥", code + " "):
        assert one_time_codes.step_of(SECRET, bad, NOW, 0) is None


def test_the_address_names_person_and_node() -> None:
    assert one_time_codes.address(SECRET, "wang", "gw1").startswith("otpauth://totp/bankgw%20gw1:wang?secret=")


def test_passwords_are_argon2id() -> None:
    made = passwords.hashed("correct horse battery", b"s" * 16)
    assert made.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert passwords.fits("correct horse battery", made)
    assert not passwords.fits("correct horse batterz", made)
    assert not passwords.fits("correct horse battery", "no hash")
    assert made != passwords.hashed("correct horse battery", b"t" * 16)


@pytest.mark.parametrize("weak", ["", "short", "a" * 20, "x" * 129, "12345678901", "my name is Wang 1"])
def test_weak_passwords_are_refused(weak: str) -> None:
    assert passwords.why_weak(weak, "wang")


def test_a_long_phrase_is_taken() -> None:
    assert passwords.why_weak("correct horse battery", "wang") == ""
    assert passwords.why_weak("付款审批口令一二三四五六七", "wang") == ""


def test_ten_failures_lock_for_thirty_minutes() -> None:
    now = SignInAttempts()
    for _ in range(MOST_FAILURES - 1):
        now = now.failed(NOW)
        assert not now.locked(NOW)
    now = now.failed(NOW)
    assert now.locked(NOW) and now.locked(NOW + LOCKED_MS - 1) and not now.locked(NOW + LOCKED_MS)
    assert now.failed(NOW + 1) == now, "a failure while locked does not lengthen it"
    assert now.failed(NOW + LOCKED_MS) == SignInAttempts(1, 0)
    assert (MOST_FAILURES, LOCKED_MS) == (10, 1_800_000)


def test_a_session_ends_when_idle_and_absolutely() -> None:
    limits = SessionLimits(idle_ms=100, absolute_ms=250)
    one = PersonSession("wang", 2001, "key", 1_000, 1_000)
    assert one.alive(1_099, limits) and not one.alive(1_100, limits)
    used = PersonSession("wang", 2001, "key", 1_000, 1_200)
    assert used.alive(1_249, limits) and not used.alive(1_250, limits)
