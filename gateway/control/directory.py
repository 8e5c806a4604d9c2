"""The verb `GET /directory`: search a bank's branch directory (联行号) through one of its lanes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from gateway.asking import Unavailable, branches
from gateway.control.daemon_handle import DaemonHandle
from gateway.control.server import Call, Denied, Verb
from gateway.journal.commit import audit
from protocols.bank import Bank
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError

MOST = 200
PAGE_WAIT_S = 30.0
NAME_CHARS = 60
_CNAPS = re.compile(r"[0-9]{12}", re.ASCII)


def verbs(daemon_handle: DaemonHandle) -> Sequence[Verb]:
    """What can be asked about branches."""
    return (Verb("GET", "/directory/([^/]+)", _Acts(daemon_handle).look),)


class _Acts:
    def __init__(self, daemon_handle: DaemonHandle) -> None:
        self._daemon_handle = daemon_handle

    async def look(self, call: Call) -> Any:
        """The branches whose name holds a text, or the one that has a number."""
        name, cnaps = call.query.get("name", "").strip(), call.query.get("cnaps")
        most = int(call.number("limit", 50, MOST))
        bank_name, bank = self._bank(call.parts[0])
        _one_of(name, cnaps)
        lane = self._lane(bank_name)
        about = {"cnaps": cnaps} if cnaps else {"name": name}
        await self._daemon_handle.store.write(
            lambda tx: audit.append(tx, call.peer.actor, "directory.asked", lane, about)
        )
        try:
            found = await branches(self._daemon_handle.ask, lane, bank, name, cnaps, most=most, max_wait_s=PAGE_WAIT_S)
        except Unavailable as error:
            raise Denied(503, error.reason, f"lane {lane}: {error}; try again") from None
        except Declined as error:
            raise Denied(502, "declined", f"{bank_name} answered {error.code} {error.bank_text}") from None
        except ProtocolError as error:
            raise Denied(502, error.reason, f"{bank_name}'s answer cannot be used: {error.text}") from None
        return {
            "bank": bank_name, "lane": lane, "cut": len(found) == most,
            "branches": [
                {"cnaps": one.cnaps, "name": one.name, "bank_name": one.bank_name, "city": one.city} for one in found
            ],
        }  # fmt: skip

    def _bank(self, name: str) -> tuple[str, Bank]:
        banks = self._daemon_handle.register().banks
        bank = banks.get(name)
        if bank is None:
            raise Denied(404, "no_such_bank", f"there is no bank {name}; there are {', '.join(sorted(banks))}")
        if bank.questions.directory is None:
            able = sorted(other for other, one in banks.items() if one.questions.directory is not None)
            hint = f"; {', '.join(able)} can be asked" if able else ", nor has any other that is configured"
            raise Denied(409, "unsupported", f"{name} has no directory of branches{hint}")
        return name, bank

    def _lane(self, bank: str) -> str:
        """A lane of the bank that can be asked now."""
        there = {name: lane for name, lane in self._daemon_handle.lanes.items() if lane.parts.bank_name == bank}
        for name, lane in there.items():
            if lane.ready:
                return name
        words = self._daemon_handle.ready()["lanes"]
        how = ", ".join(f"{name} is {words.get(name, 'unknown')}" for name in there) or "it has none"
        raise Denied(503, "lane_not_ready", f"no lane of {bank} can be asked: {how}; nothing was asked, try again")


def _one_of(name: str, cnaps: str | None) -> None:
    if bool(name) == bool(cnaps):
        raise Denied(400, "bad_question", "name a text or a number, one of them")
    if cnaps and not _CNAPS.fullmatch(cnaps):
        raise Denied(400, "bad_number", "a branch's payment-system number (联行号) has 12 digits")
    if len(name) > NAME_CHARS:
        raise Denied(400, "bad_question", f"the text is over {NAME_CHARS} characters")
