"""The parts of a state of the model as tuples, and a state with one part changed.

pays:  (life, row epoch, what was told)   life: its number in Model.lives, -1 before it was taken in
lease: (owner, epoch, expires)
nodes: (alive, epoch, permit until, has recovered, what it is doing)
net:   (payment, attempt, node, left at)  payment messages under way
books: (status, first seen at, times executed)
air:   (node, epoch, payment, asked at, word)  answers to enquiries that nobody has recorded yet; of persons, whose node
       is -1: (-1, attempt they knew of, payment, looked at, verdict)
"""

from __future__ import annotations

from typing import Any, NamedTuple

from protocols.canon.outcome import Fate

Pay = tuple[int, int, int]
Node = tuple[bool, int, int, bool, tuple[Any, ...]]
Copy = tuple[int, int, int, int]
Book = tuple[int, int, int]
Said = tuple[int, int, int, int, Fate | None]


class World(NamedTuple):
    """One state of the whole model: nodes, payments, bank, network and ERP."""

    t: int
    queue: tuple[int, ...]
    pays: tuple[Pay, ...]
    lease: tuple[int, int, int]
    nodes: tuple[Node, ...]
    net: tuple[Copy, ...]
    books: tuple[Book, ...]
    crashes: int
    cancels: int
    air: tuple[Said, ...] = ()


def acked(world: World, p: int) -> World:
    """One copy of the command for payment `p` is acknowledged."""
    return world._replace(queue=put(world.queue, p, world.queue[p] - 1))


def with_word(world: World, said: Said) -> World:
    """The state with an additional answer, or a reading by persons, that is not recorded yet."""
    return world._replace(air=tuple(sorted((*world.air, said), key=repr)))


def put(values: tuple[Any, ...], at: int, value: Any) -> tuple[Any, ...]:
    """The tuple with `value` in the place `at`."""
    return (*values[:at], value, *values[at + 1 :])


def with_node(world: World, n: int, node: Node) -> World:
    """The state with node `n` changed."""
    return world._replace(nodes=put(world.nodes, n, node))


def with_doing(world: World, n: int, doing: tuple[Any, ...]) -> World:
    """The state with another act of node `n`."""
    return with_node(world, n, (*world.nodes[n][:4], doing))


def with_book(world: World, p: int, book: Book) -> World:
    """The state with another record of payment `p` at the bank."""
    return world._replace(books=put(world.books, p, book))
