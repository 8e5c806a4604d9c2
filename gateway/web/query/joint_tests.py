"""Joint tests with banks for the console: runs, the standing of each case, and the evidence of a try, masked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from gateway.call import ActAnswers, Call, Denied
from gateway.payments.act_answers.order_view import Masking

T = TypeVar("T")


class JointRuns(Protocol):
    """The joint-test runs in a folder, opened for reading only. Values are plain: texts, numbers, lists."""

    def runs(self) -> Sequence[Mapping[str, Any]]:
        """Every run, the newest first."""

    def run(self, name: str) -> Mapping[str, Any] | None:
        """One run with its cases and tries; None for an unknown name."""

    def one_try(self, run: str, name: str) -> Mapping[str, Any] | None:
        """One try with its verdict and the names, sizes and SHA-256 of its files; None for unknown names."""

    def file(self, run: str, name: str, file: str) -> bytes | None:
        """A file of a try; None for unknown names."""


def answers(shelf: JointRuns | None, on_thread: Callable[[Callable[[], Any]], Awaitable[Any]]) -> ActAnswers:
    """The answers to the acts about joint tests. `shelf` is None if the settings name no folder."""

    async def listing(call: Call) -> Any:
        """Answer with all runs."""
        return {"folder": shelf is not None, "runs": [] if shelf is None else await on_thread(shelf.runs)}

    async def shown(call: Call) -> Any:
        """Answer with one run: the standing of each case, its tries, and the acts of people."""
        return _found(None if shelf is None else await on_thread(lambda: shelf.run(*call.parts)))

    async def one_try(call: Call) -> Any:
        """Answer with one try of a case and its evidence."""
        return _found(None if shelf is None else await on_thread(lambda: shelf.one_try(*call.parts)))

    async def file(call: Call) -> Any:
        """Answer with a file of the evidence as text. Numbers that look like account numbers are masked."""
        run, name, which = call.parts
        octets = _found(None if shelf is None else await on_thread(lambda: shelf.file(run, name, which)))
        return {"name": which, **Masking((), (), clear=False).octets(octets)}

    return {
        "joint_tests.list": listing,
        "joint_tests.show": shown,
        "joint_tests.try": one_try,
        "joint_tests.file": file,
    }


def _found(said: T | None) -> T:
    if said is None:
        raise Denied(404, "no_such_run", "there is no such run, try or file in web.joint_tests_dir")
    return said
