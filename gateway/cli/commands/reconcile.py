"""`bankgw reconcile`: an ERP's book against the bank's entries and payments, decisions, monthly statements."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.help_pages import Listing
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, ReasonOption, Socket

if TYPE_CHECKING:
    from protocols.canon.statement import Line

COLUMNS = ("id", "date", "direction", "amount", "counterparty_account", "counterparty_name", "reference", "voucher",
           "settlement_no", "text")  # fmt: skip
_PORTION = 500
_OPEN = {"id": "id", "day": "day", "direction": "", "amount": "amount", "reason": "reason", "about": ""}
_EXCEPTIONS = {"kind": "exception", "matching": "", "rows": "rows", "day": "day", "amount": "amount",
               "next_step": "next step"}  # fmt: skip
_PROPOSED = {"rule": "why", "entries": "payment or book row", "lines": "entry", "evidence": "agrees"}

AccountArgument = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The own account's number.")]
Until = Annotated[str | None, typer.Option("--to", metavar="DAY", help="Rows up to this day; default: today.")]
MatchingOption = Annotated[str, typer.Option("--matching", help="A: payments and entries. B: book and entries.")]
Entries = Annotated[list[str] | None, typer.Option("--entry", help="A payment's or book row's id, as `show` has it.")]
Lines = Annotated[list[str] | None, typer.Option("--line", help="An entry's id, as `show` has it.")]


def application() -> typer.Typer:
    """The group."""
    group = typer.Typer(help="Reconciliation (自动对账) of own accounts.", no_args_is_help=True, cls=Listing)
    for verb in (show, statement, book, withdraw, confirm, aside, undo, table, submit, approve):
        group.command(verb.__name__)(verb)
    return group


def show(
    context: typer.Context, account: AccountArgument, to: Until = None, config: Config = DEFAULT_CONFIG,
    socket: Socket = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Show what is matched, proposed and open, in both matchings."""
    with output.asking():
        said = output.remote(context, config, socket).get("reconciliation", account, to=to)
    output.show(said, as_json=as_json, words=_words)


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
    encoding: Annotated[str, typer.Option(help="Of a CSV or an MT940; banks also use gb18030.")] = "utf-8-sig",
    decimal: Annotated[
        str, typer.Option(metavar="MARK", help="The decimal mark of the CSV's amounts: . or , (12,50). What could be "
                          "read in two ways needs it.")
    ] = "",
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Hand in a bank's statement of an account that is not watched. Its last day closes if it adds up.

    If it does not, nothing of it is recorded. Entries that are there already are skipped; if one has another amount
    than before, the statement is refused.
    """
    from gateway.treasury.mt940 import from_mt940, is_mt940
    from gateway.treasury.statement_files import BadStatement, from_camt, from_csv

    with output.asking():
        client = output.remote(context, config, socket)
        currency = client.get("reconciliation", account)["currency"]
        try:
            data = file.read_bytes()
            if file.suffix == ".xml":
                told = from_camt(data, account, currency)
            elif is_mt940(data):
                told = from_mt940(data, account, currency, encoding)
            else:
                told = from_csv(data, account, currency, _mapping(column or []), encoding, decimal)
        except (OSError, BadStatement) as error:
            output.leave(exit_codes.FAILED, f"{file}: {error}; nothing was changed")
        rows = [_entry_of(one) for one in told.lines]
        end = {
            "from": first or _text(told.first), "to": last or _text(told.last),
            "opening": opening or _text(told.opening), "closing": closing or _text(told.closing), "count": len(rows),
        }  # fmt: skip
        if missing := [name for name, value in end.items() if value is None]:
            output.leave(exit_codes.USAGE, f"{file} does not state --{missing[0]}: say it; nothing was changed")
        key = client.post("reconciliation", account, "statements", **end)["statement"]
        for start in range(0, len(rows), _PORTION):
            portion = rows[start : start + _PORTION]
            client.post("reconciliation", account, "statements", key, "rows", rows=portion)
        said = client.post("reconciliation", account, "statements", key, "close")
    output.show(said, as_json=as_json, words=lambda one: output.say(
        f"{one['rows']} entries of {one['from']} to {one['to']}, {one['new']} new; closed with {one['closing']}"
    ))  # fmt: skip


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
    """Hand in the ERP's bank journal of a period. It counts if its rows lead from opening to closing.

    A book of the same period replaces the one before. Nothing counts if a row or a total does not fit.
    """
    rows = list(_read(file))
    with output.asking():
        client = output.remote(context, config, socket)
        head = {"from": first, "to": last, "opening": opening, "closing": closing, "count": count, "debit": debit,
                "credit": credit}  # fmt: skip
        key = client.post("reconciliation", account, "books", **head)["book"]
        for start in range(0, len(rows), _PORTION):
            client.post("reconciliation", account, "books", key, "rows", rows=rows[start : start + _PORTION])
        said = client.post("reconciliation", account, "books", key, "close")
    said["rows"] = len(rows)
    output.show(said, as_json=as_json, words=lambda one: output.say(
        f"book {one['book']}: {one['rows']} rows of {one['from']} to {one['to']}, closing {one['closing']}"
    ))  # fmt: skip


def withdraw(
    context: typer.Context, account: AccountArgument,
    key: Annotated[str, typer.Argument(metavar="BOOK", help="Its key, as `book` said it.")],
    reason: ReasonOption, config: Config = DEFAULT_CONFIG, socket: Socket = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Take a book out of force. Its rows are deleted."""
    with output.asking():
        said = output.remote(context, config, socket).post(
            "reconciliation", account, "books", key, "withdraw", reason=reason
        )
    output.show(said, as_json=as_json, words=lambda one: output.say(f"book {one['book']} is {one['state']}"))


def confirm(
    context: typer.Context, account: AccountArgument, matching: MatchingOption, reason: ReasonOption,
    entry: Entries = None, line: Lines = None, to: Until = None, config: Config = DEFAULT_CONFIG, socket: Socket = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Confirm that open rows belong together. Their sums must be equal; several on one side are a split."""
    _decide(context, account, "confirm", matching, reason, entry, line, to, config, socket, as_json)


def aside(
    context: typer.Context, account: AccountArgument, matching: MatchingOption, reason: ReasonOption,
    entry: Entries = None, line: Lines = None, to: Until = None, config: Config = DEFAULT_CONFIG, socket: Socket = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Set open rows aside with a reason. The monthly statement lists them with it."""
    _decide(context, account, "aside", matching, reason, entry, line, to, config, socket, as_json)


def undo(
    context: typer.Context, account: AccountArgument,
    decision: Annotated[str, typer.Argument(metavar="DECISION", help="Its key, as `show` has it.")],
    reason: ReasonOption, config: Config = DEFAULT_CONFIG, socket: Socket = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Take a decision back. What an approved statement rests on stays."""
    with output.asking():
        said = output.remote(context, config, socket).post(
            "reconciliation", account, "undo", decision=decision, reason=reason
        )
    output.show(said, as_json=as_json, words=lambda one: output.say(f"decision {one['decision']} is undone"))


def table(
    context: typer.Context, account: AccountArgument,
    month: Annotated[str, typer.Argument(metavar="MONTH", help="As 2026-11.")],
    config: Config = DEFAULT_CONFIG, socket: Socket = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Show a month's reconciliation statement (余额调节表) as it stands now, and its versions."""
    with output.asking():
        said = output.remote(context, config, socket).get("reconciliation", account, "tables", month)
    output.show(said, as_json=as_json, words=_table)


def submit(
    context: typer.Context, account: AccountArgument,
    month: Annotated[str, typer.Argument(metavar="MONTH", help="As 2026-11.")],
    config: Config = DEFAULT_CONFIG, socket: Socket = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Submit the statement as a version; another person approves it."""
    with output.asking():
        said = output.remote(context, config, socket).post("reconciliation", account, "tables", month, "submit")
    output.show(said, as_json=as_json, words=_version)


def approve(
    context: typer.Context, account: AccountArgument,
    month: Annotated[str, typer.Argument(metavar="MONTH", help="As 2026-11.")],
    version: Annotated[int, typer.Option(help="The last version.")],
    config: Config = DEFAULT_CONFIG, socket: Socket = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Approve the last version of a statement without a difference. From then on it is frozen."""
    with output.asking():
        said = output.remote(context, config, socket).post(
            "reconciliation", account, "tables", month, "approve", version=version
        )
    output.show(said, as_json=as_json, words=_version)


def _decide(
    context: typer.Context, account: str, kind: str, matching: str, reason: str, entry: list[str] | None,
    line: list[str] | None, to: str | None, config: Path, socket: Path | None, as_json: bool,
) -> None:  # fmt: skip
    body = {"matching": matching, "reason": reason, "entries": entry or [], "lines": line or []}
    with output.asking():
        said = output.remote(context, config, socket).post(
            "reconciliation", account, kind, **body, **({} if to is None else {"to": to})
        )
    output.show(said, as_json=as_json, words=lambda one: output.say(f"decision {one['decision']}: {one['kind']}"))


def _mapping(given: list[str]) -> dict[str, str]:
    from gateway.treasury.statement_files import NAMES

    found = dict(one.partition("=")[::2] for one in given)
    unknown = sorted(found.keys() - set(NAMES))
    if unknown:
        output.leave(exit_codes.USAGE, f"--column: {unknown[0]} is none of {', '.join(NAMES)}")
    return found


def _entry_of(one: Line) -> dict[str, Any]:
    party, name = one.counterparty_account, one.counterparty_name
    said = {
        "id": one.bank_line_id, "date": one.bank_date.isoformat(), "direction": one.direction.value,
        "amount": str(one.amount), "counterparty_account": party and party.clear,
        "counterparty_name": name and name.clear, "text": one.text, "reference": one.reference,
        "occurrence": one.occurrence, "fee": one.fee,
    }  # fmt: skip
    return {key: value for key, value in said.items() if value}


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _read(file: Path) -> Iterator[dict[str, str]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            unknown = [name for name in reader.fieldnames or () if name not in COLUMNS]
            missing = [name for name in COLUMNS[:4] if name not in (reader.fieldnames or ())]
            if unknown or missing:
                output.leave(exit_codes.USAGE, f"{file}: " + (f"no column {missing[0]}" if missing else
                             f"{unknown[0]} is no column of a book; there are {', '.join(COLUMNS)}"))  # fmt: skip
            for place, row in enumerate(reader, 2):
                if None in row or None in row.values():
                    output.leave(exit_codes.USAGE, f"{file}: line {place} has not as many cells as the heading")
                yield {name: value.strip() for name, value in row.items() if value and value.strip()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        output.leave(exit_codes.USAGE, f"{file}: cannot be read as CSV in UTF-8 ({error})")


def _words(said: Any) -> None:
    for name, title in (("A", "payments and entries"), ("B", "book and entries")):
        one = said["matchings"][name]
        counts = ", ".join(f"{count} {rule}" for rule, count in one["matched"].items() if count) or "nothing matched"
        output.say(f"{name}, {title}: {counts}; open {one['open_count'][0]} and {one['open_count'][1]}")
        if one["proposals"]:
            shown = [{**each, **{key: ", ".join(each[key]) for key in ("entries", "lines", "evidence")}}
                     for each in one["proposals"]]  # fmt: skip
            output.table(shown, _PROPOSED, "")
        if one["open_entries"] or one["open_lines"]:
            output.table([*one["open_entries"], *one["open_lines"]], _OPEN, "")
        output.say("")
    if said["exceptions"]:
        output.say(f"{said['exception_count']} exceptions, each with its next step")
        output.table([{**each, "rows": ", ".join(each["rows"])} for each in said["exceptions"]], _EXCEPTIONS, "")
    for each in said["void"]:
        output.say(f"{each['decision']} {each['kind']} {each['matching']} is void: {each['why']}")
    for each in said["decisions"]:
        output.say(f"{each['decision']} {each['kind']} {each['matching']} by {each['by']}: {each['reason']}")


_LISTS = (("book", "bank_received", "企业未收 (bank has received)"), ("book", "bank_paid", "企业未付 (bank has paid)"),
          ("bank", "book_received", "银行未收 (book has received)"),
          ("bank", "book_paid", "银行未付 (book has paid)"))  # fmt: skip


def _table(said: Any) -> None:
    now = said["now"]
    if now is None:
        output.say(f"{said['month']}: {said['why_not']}")
    else:
        _content(now)
    for one in said["versions"]:
        approved = f", approved by {one['approved_by']}" if one["approved_by"] else ""
        output.say(f"version {one['version']}: {one['state']}, submitted by {one['submitted_by']}{approved}")
        for name, change in (one["changes"] or {}).items():
            output.say(f"  {name}: {_change(change, one['content']['currency'])}")


def _change(change: Any, currency: str) -> str:
    """What a version says otherwise than the one before, of one balance or list."""
    from protocols.canon.money import Money

    def amount(minor: int | None) -> str:
        return "-" if minor is None else str(Money(minor, currency))

    if isinstance(change, list):
        return f"{amount(change[0])}, now {amount(change[1])}"
    words = [f"{sign}{one['id']} {amount(one['amount'])} ({one['reason']})"
             for sign, some in (("+", change["came"]), ("-", change["went"])) for one in some]  # fmt: skip
    return ", ".join(words)


def _content(now: Any) -> None:
    from protocols.canon.money import Money

    def amount(minor: int) -> str:
        return str(Money(minor, now["currency"]))

    for side, title in (("book", "日记账余额 (book)"), ("bank", "对账单余额 (bank statement)")):
        output.say(f"{title} {now['last']}: {amount(now[side])}")
        for place, name, heading in _LISTS:
            if place == side and now[name]:
                rows = [{**one, "amount": amount(one["amount"])} for one in now[name]]
                output.say(f"  {heading}")
                output.table(rows, {key: key for key in ("id", "day", "amount", "reason", "about")}, "")
        output.say(f"调节后余额 (adjusted): {amount(now[f'{side}_adjusted'])}")
    output.say(f"差额 (difference): {amount(now['difference'])}")
    unexplained = [{**one, "amount": amount(one["amount"])} for name in ("bank_unexplained", "book_unexplained")
                   for one in now[name]]  # fmt: skip
    if unexplained:
        output.say("未说明 (unexplained: a candidate is there and does not fit; in no sum, and no approval with it)")
        output.table(unexplained, {key: key for key in ("id", "day", "amount", "reason", "about")}, "")


def _version(one: Any) -> None:
    output.say(f"{one['month']} version {one['version']} is {one['state']}")
