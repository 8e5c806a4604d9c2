"""The verb `GET /directory`: search a bank's branch directory (联行号) through one of its lanes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from gateway.act_ports import Accounts, NodePort
from gateway.call import Call, Denied, answers
from gateway.control.acts.lanes import FindBranch
from gateway.control.ports import LanePort
from gateway.kernel.asking import Unavailable, branches
from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Store
from protocols.bank import Bank
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError

MOST = 200
PAGE_WAIT_S = 30.0
NAME_CHARS = 60
_CNAPS = re.compile(r"[0-9]{12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class DirectoryAnswers:
    """Answers the act about a bank's branch directory."""

    store: Store
    accounts: Accounts
    node: NodePort
    lanes: LanePort

    @answers("directory.find")
    async def find(self, call: Call, params: FindBranch) -> Any:
        """The branches whose name contains a text, or the branch with a number."""
        name, cnaps, most = (params.name or "").strip(), params.cnaps, params.limit
        bank_name, bank = self._bank(params.bank)
        _one_of(name, cnaps)
        lane = self._lane(bank_name)
        about = {"cnaps": cnaps} if cnaps else {"name": name}
        await self.store.write(lambda tx: audit.append(tx, call.peer.actor, "directory.asked", lane, about))
        try:
            found = await branches(self.lanes.ask, lane, bank, name, cnaps, most=most, max_wait_s=PAGE_WAIT_S)
        except Unavailable as error:
            raise Denied(503, error.reason, f"lane {lane}: {error}; try again") from None
        except Declined as error:
            raise Denied(502, "declined", f"{bank_name} answered {error.code} {error.bank_text}") from None
        except ProtocolError as error:
            raise Denied(502, error.reason, f"{bank_name}'s answer cannot be used: {error.text}") from None
        return {
            "bank": bank_name,
            "lane": lane,
            "cut": len(found) == most,
            "branches": [
                {"cnaps": one.cnaps, "name": one.name, "bank_name": one.bank_name, "city": one.city} for one in found
            ],
        }

    def _bank(self, name: str) -> tuple[str, Bank]:
        banks = self.accounts().banks
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
        there = {name: lane for name, lane in self.lanes.lanes.items() if lane.parts.bank_name == bank}
        for name, lane in there.items():
            if lane.ready:
                return name
        words = self.node.ready()["lanes"]
        how = ", ".join(f"{name} is {words.get(name, 'unknown')}" for name in there) or "it has none"
        raise Denied(503, "lane_not_ready", f"no lane of {bank} can be asked: {how}; nothing was asked, try again")


def _one_of(name: str, cnaps: str | None) -> None:
    if bool(name) == bool(cnaps):
        raise Denied(400, "bad_question", "name a text or a number, one of them")
    if cnaps and not _CNAPS.fullmatch(cnaps):
        raise Denied(400, "bad_number", "a branch's payment-system number (联行号) has 12 digits")
    if len(name) > NAME_CHARS:
        raise Denied(400, "bad_question", f"the text is over {NAME_CHARS} characters")
