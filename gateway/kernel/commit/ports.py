"""Ports: the questions that a package asks of packages above it.

The room defines a protocol and a port for it; `gateway.wiring` fills the port, and each transaction carries all of
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class RoomPort(Generic[T]):
    """A question that the kernel asks of a package above it; an object of type `T` answers it. `name` is for the error
    if no object is set.
    """

    name: str


class Unfilled(LookupError):
    """No object was set for this port, because the journal was opened without the ports of `gateway.wiring`."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The objects of the packages above the kernel that answer its questions, by port."""

    _filled: Mapping[RoomPort[Any], Any] = field(default_factory=dict)

    def filled(self, port: RoomPort[T], by: T) -> Ports:
        """These ports, with `by` as the object of one more port."""
        return Ports({**self._filled, port: by})

    def of(self, port: RoomPort[T]) -> T:
        """The object set for this port. Raises Unfilled, so that a rule that was not wired never counts as a yes."""
        try:
            found: T = self._filled[port]
        except KeyError:
            raise Unfilled(f"nobody fills the port {port.name}") from None
        return found


NO_PORTS = Ports()
