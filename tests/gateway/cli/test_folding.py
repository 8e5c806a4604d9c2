"""Which lines `orders show` folds, and which it never folds."""

from __future__ import annotations

from typing import Any

from gateway.cli.folding import folded, hex_lines, short_signatures


def act(at: str, name: str, before: str, after: str, **detail: Any) -> dict[str, Any]:
    return {
        "at": at,
        "what": "act",
        "act": name,
        "actor": "lane",
        "detail": {"before": before, "after": after, **detail},
    }


def heard(at: str, code: str) -> dict[str, Any]:
    return {"at": at, "what": "heard", "source": "enquiry", "fate": "pending", "code": code, "note": ""}


def asked(at: str, code: str = "11") -> list[dict[str, Any]]:
    return [act(at, "payment.pending", "pending", "pending"), heard(at, code)]


def test_equal_enquiries_are_counted() -> None:
    change = act("9", "payment.settled", "pending", "settled")
    shown = folded([*asked("1"), *asked("2"), *asked("3"), *asked("4"), change])
    assert shown[:2] == asked("1")
    assert shown[2] == {"at": "2", "what": "folded", "count": 3, "until": "4"}
    assert shown[3:] == [change]


def test_another_word_of_the_bank_is_shown() -> None:
    timeline = [
        *asked("1"),
        *asked("2", "12"),
        *asked("3"),
        act("4", "payment.asked_in_vain", "pending", "pending", reason="half_answer"),
        act("5", "payment.asked_in_vain", "pending", "pending", reason="no_answer"),
    ]
    assert folded(timeline) == timeline


def test_changes_and_mail_never_fold() -> None:
    told = {"at": "1", "what": "told", "event": "payment.accepted"}
    repeated = {"at": "1", "what": "act", "act": "order.repeated", "actor": "u", "detail": {}}
    timeline: list[dict[str, Any]] = [told, told, repeated, repeated, act("2", "a", "x", "y"), act("3", "a", "x", "y")]
    assert folded(timeline) == timeline


def test_base64_is_shown_by_its_length() -> None:
    lines = "\n".join(["Ab+/" * 19] * 4) + "\nAAAA=="
    digest = "q" * 43 + "="
    text = f"<D>{digest}</D><SignatureValue>{lines}</SignatureValue><X>0000****0001</X>"
    assert short_signatures(text) == (
        f"<D>{digest}</D><SignatureValue>[310 characters of base64; --full has them]</SignatureValue>"
        "<X>0000****0001</X>"
    )


def test_hexadecimal_shows_the_octets_of_the_charset() -> None:
    assert list(hex_lines("<名>\r\n", "GB18030")) == [f"00000000  {'3c c3 fb 3e 0d 0a':<47}  <..>.."]
    assert [line[:8] for line in hex_lines("x" * 33, "UTF-8")] == ["00000000", "00000010", "00000020"]
