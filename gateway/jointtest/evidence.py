"""The evidence of one try: commands, answers, the bytes to and from the bank, and the signed octets.

The bytes have two witnesses: the gateway's own journal, and, against a twin, the twin's log of exchanges. At a real
bank there is the first only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway.control.client import NoDaemon, Refused
from gateway.jointtest.player import GivenOrder, Player, keep
from gateway.jointtest.plays import keep_facts
from gateway.jointtest.verdicts import CaseFinding, SeenAt
from gateway.payments.act_answers.signed_octets import signed_octets
from gateway.simbank.exchange_log import LoggedExchange, read_exchanges

VERDICT = "verdict.json"


async def collect(player: Player, finding: CaseFinding, offset: int, *, alone: bool) -> None:
    """Write the folder with the evidence of a try.

    `offset`: the length of the twin's log before the try; `alone`: no other try ran meanwhile.
    """
    folder, world = player.folder, player.world
    orders = [item for one in player.orders for item in (one.items or (one,))]
    for one in player.orders[:1]:
        keep_facts(player, one)
    # A try that was interrupted has received messages before.
    before = len(list(folder.glob("heard-*")))
    for number, heard in enumerate(_heard(player, orders), start=before + 1):
        end = "xml" if heard.body.lstrip()[:1] == b"<" else "json"
        keep(folder / f"heard-{number:02d}-{heard.name}.{end}", heard.body)
    timing: list[dict[str, Any]] = []
    for one in orders:
        timing += await _of_gateway(player, one)
    if world.plan.seen is SeenAt.TWIN:
        await _of_twin(player, orders, offset, alone)
    said = {
        "case": player.case.id,
        "title": player.case.title,
        "title_zh": player.case.title_zh,
        "round": player.one.round,
        "try": player.one.number,
        "cause": player.case.cause.value,
        "seen": None if finding.seen is None else finding.seen.value,
        "verdict": finding.verdict.value,
        "why": finding.why,
        "until": None if finding.until is None else finding.until.isoformat(),
        "started": player.one.started.isoformat(),
        "ended": world.now().isoformat(),
        "facts": player.facts,
        "versions": world.store.run.versions[player.one.round],
        "orders": [one.id for one in orders],
        "timing": timing,
        "signed": _signed_note(folder, player),
    }
    keep(folder / VERDICT, json.dumps(said, ensure_ascii=False, indent=1).encode())


def _heard(player: Player, orders: list[GivenOrder]) -> Iterator[Any]:
    ids = {one.id for one in (*orders, *player.orders)}
    messages = set(player.messages)
    return (one for one in player.world.line.heard if one.correlation in messages or one.said.get("id") in ids)


async def _of_gateway(player: Player, one: GivenOrder) -> list[dict[str, Any]]:
    """Write the bytes that the gateway's journal stores for an order; returns the time of each event."""
    world = player.world
    # Real names and numbers stay masked in production; a test environment's names and numbers belong to the bank.
    clear = {} if world.plan.production else {"clear": 1}
    try:
        said = await world.elsewhere(world.desk.get, "orders", f"{world.plan.told.sender}:{one.id}", **clear)
    except (NoDaemon, Refused):
        return []
    timing = []
    for number, moment in enumerate(said["timeline"], start=1):
        timing.append(
            {
                "order": one.id,
                "at": moment["at"],
                "what": moment["what"],
                "detail": moment.get("act") or moment.get("event") or moment.get("fate") or "",
            }
        )
        for name in ("wire", "answer"):
            if moment.get(name):
                _keep_wire(player.folder, f"gateway-{one.id}-{number:02d}-{moment['what']}-{name}", moment[name])
    return timing


def _keep_wire(folder: Path, name: str, shown: Mapping[str, Any]) -> None:
    """Write bytes as the journal shows them: exact if their hash agrees, else as text, with the hash of the original
    bytes in a file of its own (`….txt.sha256`).
    """
    octets = str(shown["text"]).encode(str(shown["read_as"]))
    exact = hashlib.sha256(octets).hexdigest() == shown["sha256"]
    keep(folder / f"{name}.{'bin' if exact else 'txt'}", octets)
    if exact:
        _keep_signed(folder, name, octets)
    else:
        keep(folder / f"{name}.txt.sha256", f"{shown['sha256']}\n".encode())


async def _of_twin(player: Player, orders: list[GivenOrder], offset: int, alone: bool) -> None:
    world = player.world
    access = world.plan.told.twin
    if access is None or access.exchanges is None:
        return
    references = {
        str(heard.said["bank_reference"])
        for one in orders
        for heard in player.told(one)
        if heard.said.get("bank_reference")
    }
    truth = (await player.twin(do="truth"))["truth"]
    references |= {
        str(one["bundle"])
        for found in truth.values()
        for one in found
        if one["reference"] in references and one["bundle"]
    }
    number = len(list(player.folder.glob("twin-*-request.bin")))
    for one in read_exchanges(world.plan.path(access.exchanges), offset):
        if (one.reference in references) if one.reference else alone and one.touch == "question":
            number += 1
            _keep_exchange(player.folder, number, one)
            _keep_answer(player, one)


def _keep_answer(player: Player, one: LoggedExchange) -> None:
    """Keep what the report and the bank's workbook show of the first exchange of the case: operation, code and text."""
    # The gateway asks questions of its own meanwhile, so that a case with an order is shown by its order.
    is_own = one.touch == "money" if player.orders else bool(player.case.asks)
    if is_own and one.operation and "operation" not in player.facts:
        player.facts["operation"] = one.operation
        if "bank_code" not in player.facts:
            player.facts |= {"bank_code": one.code, "bank_text": one.reason}


def _keep_exchange(folder: Path, number: int, one: LoggedExchange) -> None:
    name = f"twin-{number:02d}-{one.touch}{f'-{one.fault}' if one.fault else ''}"
    keep(folder / f"{name}-request.bin", one.request)
    keep(folder / f"{name}-answer.bin", one.answer)
    for which, octets in (("request", one.request), ("answer", one.answer)):
        _keep_signed(folder, f"{name}-{which}", octets)


def _keep_signed(folder: Path, name: str, octets: bytes) -> None:
    """Write the octets that the XML signature of a message signed: its SignedInfo in canonical form."""
    for number, signed in enumerate(signed_octets(octets), start=1):
        keep(folder / f"{name}-signed-{number}.bin", signed)


def _signed_note(folder: Path, player: Player) -> str:
    if any(folder.glob("*-signed-*.bin")):
        return "canonical SignedInfo of each XML signature, taken from the bytes"
    if not player.world.bank.profile.signs:
        return "the gateway signs nothing for this bank: the front end signs, or nobody"
    return "no signed message belongs to this case"
