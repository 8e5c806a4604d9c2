"""The prepared writer writes what the standard library's encoder writes, with the accelerator and without."""

from __future__ import annotations

import json
from json import encoder
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.kit.json_writer import json_writer

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)
TIGHT, WIDE = (",", ":"), (", ", ": ")


@given(VALUES, st.booleans(), st.sampled_from([TIGHT, WIDE]))
def test_it_writes_what_the_standard_library_writes(value: Any, sort: bool, separators: tuple[str, str]) -> None:
    expected = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=sort, separators=separators)
    write = json_writer(sort_keys=sort, separators=separators)
    assert write(value) == expected
    assert write(value) == expected, "nothing of the first value is left"


@pytest.mark.parametrize("accelerated", [True, False])
def test_what_json_cannot_hold_is_refused_and_the_next_value_written(
    accelerated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not accelerated:
        monkeypatch.setattr(encoder, "c_make_encoder", None)
    write = json_writer()
    with pytest.raises(ValueError, match="not JSON compliant"):
        write({"a": [float("nan")]})
    with pytest.raises(TypeError, match="bytes"):
        write({"a": b"x"})
    assert write({"账": ["户", 1, None]}) == '{"账":["户",1,null]}'
    assert json_writer(allow_nan=True)([float("inf")]) == "[Infinity]"
