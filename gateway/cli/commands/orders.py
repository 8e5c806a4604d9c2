"""`bankgw orders`: list and show orders, release a held one, cancel one, enquire about one at the bank."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from gateway.act import Bilingual
from gateway.cli import output
from gateway.cli.act_commands import ActRun
from gateway.cli.folding import folded, hex_lines, short_signatures
from gateway.cli.output import WatchOption

_COLUMNS = {
    "changed": "changed (UTC)",
    "state": "state",
    "order": "order",
    "amount": "amount",
    "currency": "",
    "to": "to",
    "lane": "lane",
}
_WIDE = {
    "changed_at": "changed",
    "state": "state",
    "order": "order",
    "amount": "amount",
    "currency": "",
    "creditor": "to",
    "lane": "lane",
    "bank_reference": "reference",
    "payment": "payment",
}
_ITEMS = {
    "item_no": "no",
    "state": "state",
    "id": "id",
    "amount": "amount",
    "currency": "",
    "debtor": "from",
    "creditor": "to",
    "hold_reason": "waits for",
    "bank_code": "code",
    "payment": "payment",
}
_TO_BANK: Bilingual = ("to the bank", "发往银行")
_FROM_BANK: Bilingual = ("from the bank", "来自银行")
_TO_ALL: Bilingual = ("from the bank, to all of them", "来自银行，对全部指令")
_EMPTY: tuple[object, ...] = (None, {}, [])


def list_orders(
    run: ActRun,
    wide: Annotated[bool, typer.Option("--wide", help="Also the bank's reference and the payment's key.")] = False,
    watch: WatchOption = None,
) -> None:
    """List orders, the newest first. `orders show` takes the value of column `order`."""

    def print_page(page: Any) -> None:
        output.table([_row(one) for one in page["orders"]], _WIDE if wide else _COLUMNS, "no orders")
        for company in sorted({one["company_paused"] for one in page["orders"] if one.get("company_paused")}):
            waits = (
                "company {company} is paused: its orders that are not sent yet wait (bankgw companies list)",
                "公司 {company} 已暂停：其尚未发送的付款指令等待（bankgw companies list）",
            )
            output.say(output.in_language(waits).format(company=company))
        if page["next"]:
            output.say(output.in_language(("more: --after {next}", "还有：--after {next}")).format_map(page))

    def ask_and_show() -> None:
        said = run.ask()
        run.show(said, print_page)
        in_memory = (
            "these are only the ready orders that this node has in memory; the others need the database",
            "以上只是本节点内存中待发送的付款指令；其他的须待数据库恢复",
        )
        output.end_if_away(said, in_memory)

    output.repeated(watch, ask_and_show)


def _row(order: Any) -> dict[str, Any]:
    """An order as a line of the list: short enough for 100 columns."""
    changed, account = str(order["changed_at"] or ""), str(order["creditor"] or "")
    return {
        **order,
        "order": f"{order['sender']}:{order['id']}",
        "to": re.sub(r"\*+", "*", account),
        "changed": f"{changed[5:10]} {changed[11:19]}",
    }


def show_order(
    run: ActRun,
    full: Annotated[
        bool, typer.Option("--full", help="Every enquiry and every signature, which are folded otherwise.")
    ] = False,
    hexadecimal: Annotated[
        bool, typer.Option("--hex", help="Messages as hexadecimal octets; without --clear, of the masked text.")
    ] = False,
    watch: WatchOption = None,
) -> None:
    """Show one order and everything that happened to it, from the ERP's message to the bank's bytes.

    Of a batch: the states of its items. An item that was sent together with others shows the message that carried them
    all.
    """
    output.repeated(
        watch, lambda: run.show(run.ask(), lambda found: _words(found, fold=not full, hexadecimal=hexadecimal))
    )


def _words(order: Any, *, fold: bool = True, hexadecimal: bool = False) -> None:
    if "items" in order:
        _batch_words(order)
        return
    for name, value in order.items():
        if name != "timeline" and value not in ({}, []):
            told = output.meaning_of("meaning", order["state"], value) if name == "meaning" else value
            output.say(f"{output.label(name)}  {_flat(told)}")
    output.say("")
    for one in folded(order["timeline"]) if fold else order["timeline"]:
        output.line(f"{one['at'] or '':24}  ", _headline(one))
        # The message to the ERP repeats the fields above; --json has it whole.
        kind = {"sent": _TO_BANK, "heard": _FROM_BANK}.get(one["what"], ("", ""))
        _bytes(kind, one.get("wire"), fold=fold, hexadecimal=hexadecimal)
        _bytes(_TO_ALL, one.get("answer"), fold=fold, hexadecimal=hexadecimal)


def _bytes(kind: Bilingual, wire: Any, *, fold: bool, hexadecimal: bool) -> None:
    if not wire:
        return
    # The other side compares the whole digest: a narrow terminal must not fold it.
    size, charset = wire["bytes"], wire["read_as"]
    told = (f"{kind[0]}: {size} bytes, read as {charset}", f"{kind[1]}：{size} 字节，按 {charset} 解读")
    output.line((f"{'':26}{output.in_language(told)}\n{'':26}sha256 {wire['sha256']}", "dim"), whole=True)
    if hexadecimal:
        for text in hex_lines(wire["text"], wire["read_as"]):
            output.line((f"{'':4}{text}", "dim"), whole=True)
    else:
        for text in (short_signatures(wire["text"]) if fold else wire["text"]).splitlines():
            output.line((f"{'':26}| {text}", "dim"))
    if "cut_after" in wire:
        cut = wire["cut_after"]
        only = output.in_language((f"… shown to byte {cut} only", f"…… 只显示前 {cut} 字节"))
        output.line((f"{'':26}{only}", "dim"))


def _batch_words(batch: Any) -> None:
    for name, value in batch.items():
        if name not in ("items", "states", "held_for") and value not in ({}, [], None):
            output.say(f"{output.label(name)}  {_flat(value)}")
    output.say(f"{output.label('items')}  {_shares(batch)}")
    output.say("")
    output.table(batch["items"], _ITEMS, "no items")


def _shares(batch: Any) -> str:
    waiting = ", ".join(f"{reason} {count}" for reason, count in batch["held_for"].items())
    states = ", ".join(f"{one['count']} {one['state']} ({one['sum']})" for one in batch["states"])
    held = output.in_language((f"; waiting for: {waiting}", f"；等待：{waiting}")) if waiting else ""
    return f"{states}{held}"


def _headline(one: Any) -> str:
    if one["what"] == "folded":
        count, until = one["count"], one["until"]
        return output.in_language(
            (
                f"… {count} more enquiries until {until}, each with the same answer; --full has them",
                f"…… 至 {until} 另有 {count} 次查询，答复相同；--full 全部显示",
            )
        )
    if one["what"] == "act":
        return _act_line(one)
    if one["what"] == "sent":
        return _sent_line(one)
    if one["what"] == "heard":
        source, fate = one["source"], output.code("fate", one["fate"] or "?")
        rest = f"{fate} {one['code']} {one['note']}".rstrip()
        return output.in_language((f"heard by {source}: {rest}", f"银行答复，{output.code('source', source)}：{rest}"))
    event, state, key = one["event"], f"{one['state']}{_tries(one)}", one["routing_key"]
    return output.in_language((f"told {event} ({state}) key {key}", f"通知 ERP {event}（{state}），路由键 {key}"))


def _act_line(one: Any) -> str:
    detail, actor = one["detail"], one["actor"]
    change = f"{detail['before'] or '-'} → {detail['after']}" if "after" in detail else ""
    rest = ", ".join(
        f"{output.field(name)} {_flat(value)}"
        for name, value in detail.items()
        if name in ("reason", "fate", "source", "attempt", "denied", "alarms")
    )
    by = output.in_language((f"by {actor}", f"由 {actor}"))
    return f"{output.code('entry', one['act']):28} {change}  {rest}  {by}".replace("    ", "  ")


def _sent_line(one: Any) -> str:
    bundle, attempt, port, node, day = one.get("bundle"), one["attempt"], one["port"], one["node"], one["bank_date"]
    reference, items = (bundle["reference"], bundle["items"]) if bundle else ("", 0)
    together = (f", with others in {reference}: {items} items", f"，与其他指令同在 {reference}：共 {items} 笔")
    english, chinese = together if bundle else ("", "")
    return output.in_language(
        (
            f"sent, attempt {attempt} through {port}, bank date {day}, node {node}{english}",
            f"已发送，第 {attempt} 次，端口 {port}，银行日期 {day}，节点 {node}{chinese}",
        )
    )


def _tries(one: Any) -> str:
    """How often a message was published, and how the last try ended, if its state does not say that already."""
    if one.get("tries") is None or (one["tries"], one["last_result"]) == (1, "confirmed"):
        return ""
    said = f" {one['last_text']}" if one["last_text"] else ""
    tries, result, at = one["tries"], f"{one['last_result']}{said}", one["last_tried_at"]
    return output.in_language(
        (f", tries {tries}, the last {result} at {at}", f"，尝试 {tries} 次，最近一次 {at}：{result}")
    )


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{output.field(name)} {_flat(one)}" for name, one in value.items() if one not in _EMPTY)
    if isinstance(value, list):
        return ", ".join(map(_flat, value))
    if isinstance(value, bool):
        return output.in_language((str(value), "是" if value else "否"))
    return str(value)


def show_enquired(answer: Any) -> None:
    """An order about which the bank is asked."""
    show_changed(answer)
    asked = (
        "the bank is being asked; see `bankgw orders show {payment}`",
        "正在向银行查询；见 `bankgw orders show {payment}`",
    )
    later = (
        "the bank is asked when its lane is up again; see `bankgw orders show {payment}`",
        "通道恢复后向银行查询；见 `bankgw orders show {payment}`",
    )
    output.say(output.in_language(asked if answer["lane_ready"] else later).format_map(answer))


def show_changed(order: Any) -> None:
    """An order, or a batch, after a change."""
    if "changed_items" in order:
        changed = (
            "{sender}:{batch}: {changed_items} of {count} items changed; now {shares}",
            "{sender}:{batch}：{count} 笔明细中变动 {changed_items} 笔；现为 {shares}",
        )
        output.say(output.in_language(changed).format(**order, shares=_shares(order)))
        return
    state = ("{sender}:{id} ({payment}) is {state}", "{sender}:{id}（{payment}）的状态：{state}")
    waits = output.in_language(("; it waits for {}", "；等待：{}")).format(", ".join(order["hold_reasons"]))
    output.say(output.in_language(state).format_map(order) + (waits if order["hold_reasons"] else ""))
