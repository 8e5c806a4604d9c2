"""Joint tests with banks as the console shows them: runs, how each case stands, and the evidence of a try, masked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from gateway.control.order_view import Veil
from gateway.control.server import Call, Denied, Verb

T = TypeVar("T")
OnThread = Callable[[Callable[[], T]], Awaitable[T]]


class JointRuns(Protocol):
    """Runs in a folder, opened for reading only. Values are plain: texts, numbers, lists."""

    def runs(self) -> Sequence[Mapping[str, Any]]:
        """Every run, the newest first."""

    def run(self, name: str) -> Mapping[str, Any] | None:
        """One run with its cases and tries; None for an unknown name."""

    def one_try(self, run: str, name: str) -> Mapping[str, Any] | None:
        """One try with its verdict and the names, sizes and SHA-256 of its files; None for unknown names."""

    def file(self, run: str, name: str, file: str) -> bytes | None:
        """A file of a try; None for unknown names."""


def verbs(shelf: JointRuns | None, on_thread: Callable[[Callable[[], Any]], Awaitable[Any]]) -> Sequence[Verb]:
    """What can be asked about joint tests. `shelf` None: the settings name no folder."""
    one = "([^/]+)"

    async def listing(call: Call) -> Any:
        """The runs there are."""
        return {"folder": shelf is not None, "runs": [] if shelf is None else await on_thread(shelf.runs)}

    async def shown(call: Call) -> Any:
        """One run: how each case stands, its tries, and what people did."""
        return _found(None if shelf is None else await on_thread(lambda: shelf.run(*call.parts)))

    async def one_try(call: Call) -> Any:
        """One try of a case, with what is kept of it."""
        return _found(None if shelf is None else await on_thread(lambda: shelf.one_try(*call.parts)))

    async def file(call: Call) -> Any:
        """A file of the evidence as text: what looks like an account number is masked."""
        run, name, which = call.parts
        octets = _found(None if shelf is None else await on_thread(lambda: shelf.file(run, name, which)))
        return {"name": which, **Veil((), (), clear=False).octets(octets)}

    return (
        Verb("GET", "/joint-tests", listing),
        Verb("GET", f"/joint-tests/{one}", shown),
        Verb("GET", f"/joint-tests/{one}/tries/{one}", one_try),
        Verb("GET", f"/joint-tests/{one}/tries/{one}/files/{one}", file),
    )


def _found(said: T | None) -> T:
    if said is None:
        raise Denied(404, "no_such_run", "there is no such run, try or file in web.joint_tests_dir")
    return said
