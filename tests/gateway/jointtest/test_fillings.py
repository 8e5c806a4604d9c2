"""Values at a field's limits: a full one fits and a longer one does not, at every bank that has the limit."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway import capabilities
from gateway.jointtest import fillings
from gateway.jointtest.fillings import NoSuchValue
from gateway.kernel.core.policy import field_faults
from protocols.trial import banks

NOW = datetime(2026, 11, 28, tzinfo=UTC)


@pytest.mark.parametrize("bank", banks())
def test_full_fits_and_one_more_does_not(bank: str) -> None:
    built = capabilities.tried(bank)
    limits = built.profile.limits
    for limit in limits.fields:
        if not (limit.max_bytes or limit.max_chars):
            continue
        try:
            text = fillings.full(built, limit.at)
        except NoSuchValue:
            continue
        assert not list(field_faults(limit, text, limits.charset))
        assert list(field_faults(limit, text + "x", limits.charset))


def test_a_lacking_character_is_lacking() -> None:
    for bank in banks():
        built = capabilities.tried(bank)
        letter = fillings.lacking(built)
        if letter != "\u0007":
            with pytest.raises(UnicodeEncodeError):
                letter.encode(built.profile.limits.charset)


def test_a_change_goes_to_its_place() -> None:
    bank = capabilities.tried("sample")
    fields = {"id": "1", "creditor": {"name": "x", "cnaps": "0"}}
    change = {"/creditor/name": "示例{lacking}", "/creditor/cnaps": None, "/valid_until": "{yesterday}", "/a/b": 1}
    made = fillings.put(fields, change, bank, NOW)
    assert made == {
        "id": "1",
        "creditor": {"name": "示例\u0007"},
        "valid_until": "2026-11-27T00:00:00+00:00",
        "a": {"b": 1},
    }
    with pytest.raises(NoSuchValue, match="no value called"):
        fillings.filled("{nothing}", bank, NOW)
