"""`bankgw reconcile`: an ERP's book against the bank's entries and payments, decisions, monthly statements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.act import Bilingual
from gateway.cli import exit_codes, output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, Socket

if TYPE_CHECKING:
    from protocols.canon.statement import Line

COLUMNS = (
    "id",
    "date",
    "direction",
    "amount",
    "counterparty_account",
    "counterparty_name",
    "reference",
    "voucher",
    "settlement_no",
    "text",
)
_NUMBERS = ("id", "counterparty_account", "reference", "voucher", "settlement_no")
_PORTION = 500
_CHANGED: Mapping[str, str] = {
    "book": "日记账余额",
    "bank": "对账单余额",
    "book_adjusted": "日记账调节后余额",
    "bank_adjusted": "对账单调节后余额",
    "difference": "差额",
    "bank_received": "银行已收、企业未收",
    "bank_paid": "银行已付、企业未付",
    "book_received": "企业已收、银行未收",
    "book_paid": "企业已付、银行未付",
    "bank_unexplained": "银行未说明",
    "book_unexplained": "日记账未说明",
}
_OPEN = {"id": "id", "day": "day", "direction": "", "amount": "amount", "reason": "reason", "about": ""}
_EXCEPTIONS = {
    "kind": "exception",
    "matching": "",
    "rows": "rows",
    "day": "day",
    "amount": "amount",
    "next_step": "next step",
}
_PROPOSED = {"rule": "why", "entries": "payment or book row", "lines": "entry", "evidence": "agrees"}

AccountArgument = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The own account's number.")]


def statement(
    context: typer.Context,
    account: AccountArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A camt.053 (.xml), an MT940, or a CSV with a heading.")],
    first: Annotated[str | None, typer.Option("--from", metavar="DAY", help="First day, if the file has none.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Last day, if the file has none.")] = None,
    opening: Annotated[str | None, typer.Option(help="Balance before it, if the file has none.")] = None,
    closing: Annotated[str | None, typer.Option(help="Balance after it, if the file has none.")] = None,
    column: Annotated[
        list[str] | None, typer.Option("--column", metavar="NAME=HEADING", help="Which heading of the CSV is what.")
    ] = None,
    encoding: Annotated[str, typer.Option(help="Of a CSV or an MT940; a CSV's is recognised if it is not given.")] = "",
    decimal: Annotated[
        str,
        typer.Option(
            metavar="MARK",
            help="The decimal mark of the CSV's amounts: . or , (12,50). What could be read in two ways needs it.",
        ),
    ] = "",
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Hand in a bank's statement of an account that is not watched. Its last day closes if it adds up.

    If it does not, nothing of it is recorded. Entries that are already recorded are skipped; if one has another amount
    than before, the statement is refused.
    """
    from gateway.statements.rules.mt940 import from_mt940, is_mt940
    from gateway.statements.rules.statement_files import BadStatement, from_camt, from_csv

    with output.asking():
        client = output.remote(context, config, socket)
        currency = client.get("reconciliation", account)["currency"]
        try:
            data = file.read_bytes()
            if file.suffix == ".xml":
                told = from_camt(data, account, currency)
            elif is_mt940(data):
                told = from_mt940(data, account, currency, encoding or "utf-8-sig")
            else:
                told = from_csv(data, account, currency, _mapping(column or []), encoding, decimal)
        except (OSError, BadStatement) as error:
            output.leave(
                exit_codes.FAILED,
                (f"{file}: {error}; nothing was changed", f"{file} 不能采用，未作任何更改：\n{error}"),
            )
        rows = [_entry_of(one) for one in told.lines]
        end = {
            "from": first or _text(told.first),
            "to": last or _text(told.last),
            "opening": opening or _text(told.opening),
            "closing": closing or _text(told.closing),
            "count": len(rows),
        }
        if missing := [name for name, value in end.items() if value is None]:
            output.leave(
                exit_codes.USAGE,
                (
                    f"{file} does not state --{missing[0]}: say it; nothing was changed",
                    f"{file} 中没有 --{missing[0]}：请填写；未作任何更改",
                ),
            )
        key = client.post("reconciliation", account, "statements", **end)["statement"]
        for start in range(0, len(rows), _PORTION):
            portion = rows[start : start + _PORTION]
            client.post("reconciliation", account, "statements", key, "rows", rows=portion)
        said = client.post("reconciliation", account, "statements", key, "close")
    output.show(said, as_json=as_json, words=_say_closed)


def _say_closed(one: Any) -> None:
    rows, new, first, last, closing = (one[name] for name in ("rows", "new", "from", "to", "closing"))
    output.say(
        (
            f"{rows} entries of {first} to {last}, {new} new; closed with {closing}",
            f"{first} 至 {last}：明细 {rows} 条，新增 {new} 条；期末余额 {closing}",
        )
    )


def book(
    context: typer.Context,
    account: AccountArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help=f"CSV with the columns {', '.join(COLUMNS)}.")],
    first: Annotated[str, typer.Option("--from", metavar="DAY", help="The book's first day.")],
    last: Annotated[str, typer.Option("--to", metavar="DAY", help="The book's last day.")],
    opening: Annotated[str, typer.Option(help="Its balance before the first row.")],
    closing: Annotated[str, typer.Option(help="Its balance after the last row.")],
    count: Annotated[int | None, typer.Option(help="How many rows it has.")] = None,
    debit: Annotated[str | None, typer.Option(help="Money out together.")] = None,
    credit: Annotated[str | None, typer.Option(help="Money in together.")] = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Hand in the ERP's bank journal of a period. It counts if its rows lead from the opening to the closing balance.

    A book of the same period replaces the one before. If a row or a total does not fit, the whole book is refused.
    """
    rows = list(_read(file))
    with output.asking():
        client = output.remote(context, config, socket)
        head = {
            "from": first,
            "to": last,
            "opening": opening,
            "closing": closing,
            "count": count,
            "debit": debit,
            "credit": credit,
        }
        key = client.post("reconciliation", account, "books", **head)["book"]
        for start in range(0, len(rows), _PORTION):
            client.post("reconciliation", account, "books", key, "rows", rows=rows[start : start + _PORTION])
        said = client.post("reconciliation", account, "books", key, "close")
    said["rows"] = len(rows)
    output.show(
        said,
        as_json=as_json,
        words=lambda one: output.say(
            (
                f"book {one['book']}: {one['rows']} rows of {one['from']} to {one['to']}, closing {one['closing']}",
                f"日记账 {one['book']}：{one['from']} 至 {one['to']} 共 {one['rows']} 行，期末余额 {one['closing']}",
            )
        ),
    )


def _mapping(given: list[str]) -> dict[str, str]:
    from gateway.statements.rules.statement_files import NAMES

    found = dict(one.partition("=")[::2] for one in given)
    unknown = sorted(found.keys() - set(NAMES))
    if unknown:
        there = ", ".join(NAMES)
        output.leave(
            exit_codes.USAGE,
            (f"--column: {unknown[0]} is none of {there}", f"--column：没有 {unknown[0]}，可用的是 {there}"),
        )
    return found


def _entry_of(one: Line) -> dict[str, Any]:
    party, name = one.counterparty_account, one.counterparty_name
    said = {
        "id": one.bank_line_id,
        "date": one.bank_date.isoformat(),
        "direction": one.direction.value,
        "amount": str(one.amount),
        "counterparty_account": party and party.clear,
        "counterparty_name": name and name.clear,
        "text": one.text,
        "reference": one.reference,
        "occurrence": one.occurrence,
        "fee": one.fee,
    }
    return {key: value for key, value in said.items() if value}


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _read(file: Path) -> Iterator[dict[str, str]]:
    from gateway.statements.rules.table_files import BadTable, decoded, refuse_ruined, table

    try:
        read = table(decoded(file.read_bytes(), ""), COLUMNS[:4])
        unknown = [name for name in read.heading if name not in COLUMNS]
        missing = [name for name in COLUMNS[:4] if name not in read.heading]
        twice = [name for name in COLUMNS if read.heading.count(name) > 1]
        if unknown or missing or twice:
            output.leave(exit_codes.USAGE, _wrong_heading(file, unknown, missing, twice))
        for place, cells in read.rows:
            row = dict(zip(read.heading, cells, strict=True))
            refuse_ruined(place, {name: row[name] for name in _NUMBERS if name in row})
            yield {name: value for name, value in row.items() if value}
    except (OSError, BadTable) as error:
        output.leave(
            exit_codes.USAGE, (f"{file}: cannot be read as a book: {error}", f"{file} 不能作为日记账读取：\n{error}")
        )


def _wrong_heading(file: Path, unknown: list[str], missing: list[str], twice: list[str]) -> Bilingual:
    if missing:
        return f"{file}: no column {missing[0]}", f"{file}：缺少列 {missing[0]}"
    if twice:
        return f"{file}: two columns {twice[0]}", f"{file}：有两列 {twice[0]}"
    there = ", ".join(COLUMNS)
    return (
        f"{file}: {unknown[0]} is no column of a book; there are {there}",
        f"{file}：{unknown[0]} 不是日记账的列；可用的是 {there}",
    )


def show_matching(said: Any) -> None:
    """The matched, proposed and open rows, in both matchings."""
    for name, title in _MATCHINGS.items():
        one = said["matchings"][name]
        found = ((output.code("matchrule", rule), count) for rule, count in one["matched"].items() if count)
        counts = ", ".join(f"{count} {rule}" for rule, count in found)
        left, right = one["open_count"]
        output.say(
            (
                f"{name}, {title[0]}: {counts or 'nothing matched'}; open {left} and {right}",
                f"{name}，{title[1]}：{counts or '没有匹配'}；未匹配 {left} 与 {right}",
            )
        )
        if one["proposals"]:
            shown = [
                {**each, **{key: ", ".join(each[key]) for key in ("entries", "lines", "evidence")}}
                for each in one["proposals"]
            ]
            output.table(shown, _PROPOSED, "")
        if one["open_entries"] or one["open_lines"]:
            output.table([_open_row(row) for row in (*one["open_entries"], *one["open_lines"])], _OPEN, "")
        output.say("")
    if said["exceptions"]:
        count = said["exception_count"]
        output.say((f"{count} exceptions, each with its next step", f"未达账项 {count} 项，各附下一步"))
        output.table([_exception_row(each) for each in said["exceptions"]], _EXCEPTIONS, "")
    for each in said["void"]:
        what = f"{each['decision']} {each['kind']} {each['matching']}"
        output.say((f"{what} is void: {each['why']}", f"{what} 已失效：{output.sentence(each['why'])}"))
    for each in said["decisions"]:
        what = f"{each['decision']} {each['kind']} {each['matching']}"
        output.say((f"{what} by {each['by']}: {each['reason']}", f"{what}，由 {each['by']}：{each['reason']}"))


def _open_row(one: Any) -> Any:
    found = {**one, "reason": output.meaning_of("unmatched", one["reason"] or "", one["reason"])}
    return found | (
        {"direction": output.meaning_of("direction", one["direction"], one["direction"])} if "direction" in one else {}
    )


def _exception_row(one: Any) -> Any:
    named = {"kind": output.sentence(one["kind"]), "next_step": output.sentence(one["next_step"])}
    return {**one, **named, "rows": ", ".join(one["rows"])}


_MATCHINGS: Mapping[str, Bilingual] = {
    "A": ("payments and entries", "付款与银行明细"),
    "B": ("book and entries", "日记账与银行明细"),
}
_LISTS: tuple[tuple[str, str, Bilingual], ...] = (
    ("book", "bank_received", ("企业未收 (bank has received)", "加：银行已收、企业未收")),
    ("book", "bank_paid", ("企业未付 (bank has paid)", "减：银行已付、企业未付")),
    ("bank", "book_received", ("银行未收 (book has received)", "加：企业已收、银行未收")),
    ("bank", "book_paid", ("银行未付 (book has paid)", "减：企业已付、银行未付")),
)
_ROWS = ("id", "day", "amount", "reason", "about")


def show_table(said: Any) -> None:
    """The month's statement as it stands now, and its versions."""
    now = said["now"]
    if now is None:
        output.say((f"{said['month']}: {said['why_not']}", f"{said['month']}：尚不能编制余额调节表\n{said['why_not']}"))
    else:
        _content(now)
    for one in said["versions"]:
        number, state, by, approver = one["version"], one["state"], one["submitted_by"], one["approved_by"]
        english, chinese = (f", approved by {approver}", f"，由 {approver} 批准") if approver else ("", "")
        output.say(
            (
                f"version {number}: {state}, submitted by {by}{english}",
                f"第 {number} 版：{state}，由 {by} 提交{chinese}",
            )
        )
        for name, change in (one["changes"] or {}).items():
            told = _change(change, one["content"]["currency"])
            output.say((f"  {name}: {told}", f"  {_CHANGED.get(name, name)}：{told}"))


def _change(change: Any, currency: str) -> str:
    """The differences of a version to the one before, in one balance or list."""
    from protocols.canon.money import Money

    def amount(minor: int | None) -> str:
        return "-" if minor is None else str(Money(minor, currency))

    if isinstance(change, list):
        before, after = amount(change[0]), amount(change[1])
        return output.in_language((f"{before}, now {after}", f"原 {before}，现 {after}"))
    words = [
        f"{sign}{one['id']} {amount(one['amount'])} ({one['reason']})"
        for sign, some in (("+", change["came"]), ("-", change["went"]))
        for one in some
    ]
    return ", ".join(words)


def _content(now: Any) -> None:
    from protocols.canon.money import Money

    def amount(minor: int) -> str:
        return str(Money(minor, now["currency"]))

    def rows(name: str) -> list[Any]:
        return [_open_row({**one, "amount": amount(one["amount"])}) for one in now[name]]

    for side, title in (
        ("book", ("日记账余额 (book)", "日记账余额")),
        ("bank", ("对账单余额 (bank statement)", "对账单余额")),
    ):
        last, balance, adjusted = now["last"], amount(now[side]), amount(now[f"{side}_adjusted"])
        output.say((f"{title[0]} {last}: {balance}", f"{title[1]} {last}：{balance}"))
        for place, name, heading in _LISTS:
            if place == side and now[name]:
                output.say((f"  {heading[0]}", f"  {heading[1]}"))
                output.table(rows(name), {key: key for key in _ROWS}, "")
        output.say((f"调节后余额 (adjusted): {adjusted}", f"调节后余额：{adjusted}"))
    difference = amount(now["difference"])
    output.say((f"差额 (difference): {difference}", f"差额：{difference}"))
    unexplained = [*rows("bank_unexplained"), *rows("book_unexplained")]
    if unexplained:
        output.say(
            (
                "未说明 (unexplained: a candidate is there and does not fit; in no sum, and no approval with it)",
                "未说明（有候选而不相符；不计入合计，有未说明的不能批准）",
            )
        )
        output.table(unexplained, {key: key for key in _ROWS}, "")
