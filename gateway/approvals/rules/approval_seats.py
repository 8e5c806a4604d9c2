"""Whether enough different persons of each needed group have approved, where a person and a delegate count as one.

Pure. A person fills one place of one named group; all of them together also count for `*`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.approvals.rules.approval_bands import ANY, ApprovalNeed


def seats(persons: Sequence[str], one_seat: Callable[[str, str], bool]) -> tuple[str, ...]:
    """The persons who count as approvers: of several who are one seat, only the first."""
    found: list[str] = []
    for person in persons:
        if not any(one_seat(person, other) for other in found):
            found.append(person)
    return tuple(found)


def missing(need: ApprovalNeed, persons: Sequence[str], members: Callable[[str], frozenset[str]]) -> str:
    """The approvers that are missing, as text; "" if these persons, each a seat of its own, suffice."""
    whole = dict(need.of_group).get(ANY, 0)
    places = [group for group, count in need.of_group for _ in range(count) if group != ANY]
    taken: dict[int, str] = {}
    for person in persons:
        _place(person, places, taken, members, set())
    lacking = [places[n] for n in range(len(places)) if n not in taken]
    words = [f"{lacking.count(group)} of group {group}" for group in dict.fromkeys(lacking)]
    if len(persons) < whole:
        words.append(f"{whole - len(persons)} of any approver")
    return " and ".join(words)


def _place(
    person: str, places: Sequence[str], taken: dict[int, str], members: Callable[[str], frozenset[str]], seen: set[int]
) -> bool:
    """Assign the person to a place, moving others to other possible places if needed."""
    for n, group in enumerate(places):
        if n in seen or person not in members(group):
            continue
        seen.add(n)
        if n not in taken or _place(taken[n], places, taken, members, seen):
            taken[n] = person
            return True
    return False
