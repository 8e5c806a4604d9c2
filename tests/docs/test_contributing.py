"""The contributors' page: its list of packages whose docstrings are still in the old style may only get shorter."""

from __future__ import annotations

import re

import pytest

from tests.house import committed, texts

# The list at its beginning. Remove a room here too, once it is off the page: neither list grows again.
OLD = frozenset({"tests", "faults", "bench", "fuzz", "interop"})
# Former names of parts. In rooms off the list no docstring has them any more.
FORMER = re.compile(r"\b(?:quay|berths?|tenures?|wallclock|sightings|lookout|levers|deeds)\b", re.IGNORECASE)


def listed() -> list[str]:
    """The packages that the page lists as still in the old style."""
    page = texts()["CONTRIBUTING.md"]
    part = page.partition("<!-- rooms whose prose is old -->")[2].partition("<!-- end -->")[0]
    return re.findall(r"^- `([^`]+)`$", part, re.MULTILINE)


def test_the_list_of_old_rooms_only_shrinks() -> None:
    assert set(listed()) <= OLD, "a room whose prose was plain may not become old again"
    assert set(listed()) == OLD, "take the room off OLD here, so that it cannot come back"
    assert len(listed()) == len(set(listed()))


@pytest.mark.parametrize("room", sorted(OLD))
def test_old_rooms_exist(room: str) -> None:
    assert any(path.startswith(f"{room}/") for path in committed())


def test_rooms_off_the_list_do_not_use_former_names() -> None:
    old = tuple(f"{room}/" for room in listed())
    found = [
        f"{path}: {text}"
        for path in committed()
        if path.startswith(("gateway/", "protocols/")) and path.endswith(".py") and not path.startswith(old)
        for text in re.findall(r'"""(?s:.*?)"""', texts()[path])
        if FORMER.search(text)
    ]
    assert found == []


def test_the_former_names_are_noticed() -> None:
    assert FORMER.search("the lane's Berth") and FORMER.search("another way (`journal.sightings`)")
    assert not FORMER.search("a session of the lane")
