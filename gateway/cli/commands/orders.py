"""`bankgw orders`: list and show orders, release a held one, cancel one, enquire about one at the bank."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from gateway.cli import output
from gateway.cli.help_pages import Listing
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Clear, Config, ReasonOption, Socket, WatchOption
from gateway.cli.signing import (
    DEFAULT_KEY,
    EvidenceOption,
    KeyOption,
    PassphraseFile,
    Pen,
    Yes,
    administered,
    propose,
)
from gateway.control.folding import folded, hex_lines, short_signatures

_COLUMNS = {
    "changed": "changed (UTC)", "state": "state", "order": "order", "amount": "amount", "currency": "",
    "to": "to", "lane": "lane",
}  # fmt: skip
_WIDE = {
    "changed_at": "changed", "state": "state", "order": "order", "amount": "amount", "currency": "",
    "creditor": "to", "lane": "lane", "bank_reference": "reference", "payment": "payment",
}  # fmt: skip
_ITEMS = {
    "item_no": "no", "state": "state", "id": "id", "amount": "amount", "currency": "", "debtor": "from",
    "creditor": "to", "hold_reason": "waits for", "bank_code": "code", "payment": "payment",
}  # fmt: skip
OrderArgument = Annotated[str, typer.Argument(metavar="ORDER", help="The payment's key, or SENDER:ID.")]
OrderOrBatch = Annotated[
    str, typer.Argument(metavar="ORDER", help="The payment's key, or SENDER:ID of an order or a whole batch.")
]


def application() -> typer.Typer:
    """The group."""
    group = typer.Typer(help="Look at orders and act on them.", no_args_is_help=True, cls=Listing)
    group.command("list")(list_orders)
    group.command("show")(show_order)
    group.command("release")(release)
    group.command("cancel")(cancel)
    group.command("enquire")(enquire)
    return group


def list_orders(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="Only these states, separated by commas: held,in_doubt …")] = None,
    sender: Annotated[str | None, typer.Option(help="Only this sender's.")] = None,
    bank: Annotated[str | None, typer.Option(help="Only this bank's.")] = None,
    batch: Annotated[str | None, typer.Option(metavar="ID", help="Only the items of this batch.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, newest first.")] = 50,
    after: Annotated[str | None, typer.Option(help="Go on after this key: `next` of the page before.")] = None,
    wide: Annotated[bool, typer.Option("--wide", help="Also the bank's reference and the payment's key.")] = False,
    watch: WatchOption = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """List orders, the newest first. `orders show` takes what stands under `order`."""
    daemon = output.remote(context, config, socket)

    def words(page: Any) -> None:
        output.table([_row(one) for one in page["orders"]], _WIDE if wide else _COLUMNS, "no orders")
        if page["next"]:
            output.say(f"more: --after {page['next']}")

    def look() -> None:
        with output.asking():
            said = daemon.get("orders", state=state, sender=sender, bank=bank, batch=batch, limit=limit, after=after)
        output.show(said, as_json=as_json, words=words)
        output.end_if_away(said, "these are only the ready orders that this node has in memory; the others need the "
                           "database")  # fmt: skip

    output.repeated(watch, look)


def _row(order: Any) -> dict[str, Any]:
    """An order as a list shows it: short enough for 100 columns."""
    changed, account = str(order["changed_at"] or ""), str(order["creditor"] or "")
    return {
        **order, "order": f"{order['sender']}:{order['id']}", "to": re.sub(r"\*+", "*", account),
        "changed": f"{changed[5:10]} {changed[11:19]}",
    }  # fmt: skip


def show_order(
    context: typer.Context,
    order: OrderOrBatch,
    full: Annotated[
        bool, typer.Option("--full", help="Every enquiry and every signature, which are folded otherwise.")
    ] = False,
    hexadecimal: Annotated[
        bool, typer.Option("--hex", help="Messages as hexadecimal octets; without --clear, of the masked text.")
    ] = False,
    clear: Clear = False,
    watch: WatchOption = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Show one order and everything that happened to it, from the ERP's message to the bank's bytes.

    Of a batch: how its items stand. An item that travelled with others shows the message that carried them all.
    """
    daemon = output.remote(context, config, socket)

    def look() -> None:
        with output.asking():
            said = daemon.get("orders", order, clear=1 if clear else None)
        output.show(said, as_json=as_json, words=lambda found: _words(found, fold=not full, hexadecimal=hexadecimal))

    output.repeated(watch, look)


def _words(order: Any, *, fold: bool = True, hexadecimal: bool = False) -> None:
    if "items" in order:
        _batch_words(order)
        return
    for name, value in order.items():
        if name != "timeline" and value not in ({}, []):
            output.say(f"{name:>16}  {_flat(value)}")
    output.say("")
    for one in folded(order["timeline"]) if fold else order["timeline"]:
        output.line(f"{one['at'] or '':24}  ", _headline(one))
        # What the ERP was told repeats the fields above; --json has it whole.
        kind = {"sent": "to the bank", "heard": "from the bank"}.get(one["what"], "")
        _bytes(kind, one.get("wire"), fold=fold, hexadecimal=hexadecimal)
        _bytes("from the bank, to all of them", one.get("answer"), fold=fold, hexadecimal=hexadecimal)


def _bytes(kind: str, wire: Any, *, fold: bool, hexadecimal: bool) -> None:
    if not wire:
        return
    # The other side compares the whole digest: a narrow terminal must not fold it.
    head = f"{'':26}{kind}: {wire['bytes']} bytes, read as {wire['read_as']}\n{'':26}sha256 {wire['sha256']}"
    output.line((head, "dim"), whole=True)
    if hexadecimal:
        for text in hex_lines(wire["text"], wire["read_as"]):
            output.line((f"{'':4}{text}", "dim"), whole=True)
    else:
        for text in (short_signatures(wire["text"]) if fold else wire["text"]).splitlines():
            output.line((f"{'':26}| {text}", "dim"))
    if "cut_after" in wire:
        output.line((f"{'':26}… shown to byte {wire['cut_after']} only", "dim"))


def _batch_words(batch: Any) -> None:
    for name, value in batch.items():
        if name not in ("items", "states", "held_for") and value not in ({}, [], None):
            output.say(f"{name:>16}  {_flat(value)}")
    output.say(f"{'items':>16}  {_shares(batch)}")
    output.say("")
    output.table(batch["items"], _ITEMS, "no items")


def _shares(batch: Any) -> str:
    waiting = ", ".join(f"{reason} {count}" for reason, count in batch["held_for"].items())
    states = ", ".join(f"{one['count']} {one['state']} ({one['sum']})" for one in batch["states"])
    return f"{states}; waiting for: {waiting}" if waiting else states


def _headline(one: Any) -> str:
    if one["what"] == "folded":
        return f"… {one['count']} more enquiries until {one['until']}, each with the same answer; --full has them"
    if one["what"] == "act":
        detail = one["detail"]
        change = f"{detail['before'] or '-'} → {detail['after']}" if "after" in detail else ""
        rest = ", ".join(f"{name} {_flat(value)}" for name, value in detail.items()
                         if name in ("reason", "fate", "source", "attempt", "denied", "alarms"))  # fmt: skip
        return f"{one['act']:28} {change}  {rest}  by {one['actor']}".replace("    ", "  ")
    if one["what"] == "sent":
        bundle = one.get("bundle")
        together = f", with others in {bundle['reference']}: {bundle['items']} items" if bundle else ""
        where = f"through {one['port']}, bank date {one['bank_date']}, node {one['node']}"
        return f"sent, attempt {one['attempt']} {where}{together}"
    if one["what"] == "heard":
        return f"heard by {one['source']}: {one['fate'] or '?'} {one['code']} {one['note']}".rstrip()
    return f"told {one['event']} ({one['state']}{_tries(one)}) key {one['routing_key']}"


def _tries(one: Any) -> str:
    """How often a message was published, and how the last try ended, where that is more than its state says."""
    if one.get("tries") is None or (one["tries"], one["last_result"]) == (1, "confirmed"):
        return ""
    said = f" {one['last_text']}" if one["last_text"] else ""
    return f", tries {one['tries']}, the last {one['last_result']}{said} at {one['last_tried_at']}"


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_flat(one)}" for name, one in value.items() if one not in (None, {}, []))
    if isinstance(value, list):
        return ", ".join(map(_flat, value))
    return str(value)


def release(
    context: typer.Context,
    order: OrderOrBatch,
    reason: ReasonOption,
    held_for: Annotated[
        str | None,
        typer.Option(metavar="REASONS", help="Clear these, commas between: approval, new_payee, suspected_duplicate …"),
    ] = None,
    evidence: EvidenceOption = None,
    yes: Yes = False,
    key: KeyOption = DEFAULT_KEY,
    passphrase_file: PassphraseFile = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Clear why an order is held: when no reason is left, it is sent as soon as its bank is open. Of a batch: all its
    held items at once.

    Each reason is cleared apart: where there are several, --held-for names those that you clear. The others stay, and
    amounts and payees are judged again. Where there are administrators, a supervisor signs it, who did not make the
    order, and a second one approves it with `bankgw resolve --approve`.
    """
    from gateway.control.signed_words import ProposalKind

    remote = output.remote(context, config, socket)
    if administered(remote):
        wanted = {"kind": ProposalKind.RELEASE.value, "subject": order, "to": held_for or "send", "note": reason}
        propose(remote, wanted, evidence, Pen(key, passphrase_file, yes), as_json=as_json)
        return
    with output.asking():
        said = remote.post("orders", order, "release", reason=reason, held_for=held_for)
    output.show(said, as_json=as_json, words=_changed)


def cancel(
    context: typer.Context,
    order: OrderOrBatch,
    reason: ReasonOption,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Withdraw an order that was not sent yet. Of a batch: every item that was not."""
    with output.asking():
        said = output.remote(context, config, socket).post("orders", order, "cancel", reason=reason)
    output.show(said, as_json=as_json, words=_changed)


def enquire(
    context: typer.Context,
    order: OrderArgument,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Ask the bank now what became of an order. It is never sent again by this."""
    with output.asking():
        said = output.remote(context, config, socket).post("orders", order, "enquire")

    def words(answer: Any) -> None:
        _changed(answer)
        ready = "the bank is being asked" if answer["lane_ready"] else "the bank is asked when its lane is up again"
        output.say(f"{ready}; see `bankgw orders show {answer['payment']}`")

    output.show(said, as_json=as_json, words=words)


def _changed(order: Any) -> None:
    if "changed_items" in order:
        output.say(f"{order['sender']}:{order['batch']}: {order['changed_items']} of {order['count']} items changed; "
                     f"now {_shares(order)}")  # fmt: skip
        return
    waits = f"; it waits for {', '.join(order['hold_reasons'])}" if order["hold_reasons"] else ""
    output.say(f"{order['sender']}:{order['id']} ({order['payment']}) is {order['state']}{waits}")
