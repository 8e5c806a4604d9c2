"""The twin's side of the questions about accounts: 4001, 4012, 4008, 4013, 4019, and 4017 about branches.

Each function gets the root of a request that the rules have judged. Dates that an answer states are the host's own;
with `date_ahead_days` they differ from the calendar. A past day is asked for by the date that its rows state.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from lxml import etree

from protocols.banks.pab.twin_answer import (
    NO_ENTRIES,
    NO_RECORD,
    NO_SUCH_DAY,
    TOO_MANY,
    Conduct,
    Done,
    Refused,
    calendar_day,
    cut,
    day,
    flat,
    held,
    leaf,
    number,
    with_rows,
)
from protocols.banks.pab.twin_rows import (
    accounted,
    accounting_date,
    charged,
    row_4008,
    row_4013,
    row_4019,
    stamp,
    trace,
)
from protocols.twin import Books

BRANCHES: Final = (
    ("000000000000", "示例银行某支行"),
    ("000000000017", "示例银行另一支行"),
    ("102000000000", "工商银行示例支行"),
    ("102000000017", "工商银行示例二支行"),
)


def balance(root: etree._Element, books: Books, _conduct: Conduct) -> Done:
    """Answer 4001: the balance now."""
    account = held(books, leaf(root, "Account"))
    leaves = {
        "Account": account.number, "CcyCode": "RMB", "CcyType": "", "AccountName": account.holder,
        "Balance": str(account.book - account.frozen), "TotalAmount": str(account.book), "AccountType": "",
        "AccountStatus": "A", "BankName": "",
        "LastBalance": str(account.previous_day), "HoldBalance": str(account.frozen),
    }  # fmt: skip
    return Done(flat(leaves))


def balance_on(root: etree._Element, books: Books, conduct: Conduct) -> Done:
    """Answer 4012: the balance at the end of a past day of the host."""
    account, on = held(books, leaf(root, "Account")), day(leaf(root, "RptDate")) - conduct.ahead
    if on >= calendar_day(books):
        raise Refused(NO_SUCH_DAY)
    before = accounted(books, account.number, date(2000, 1, 1), on)
    # Before its first entry an account has its opening balance.
    told = before[-1].balance_after if before else (books.holding(account.number, on) or account).book
    return Done(flat({"Account": account.number, "HisBalance": str(told), "HisBookBalance": str(told)}))


def today(root: etree._Element, books: Books, conduct: Conduct) -> Done:
    """Answer 4008: today's entries, page by page with the bank's own cursor."""
    _slow_down(books, conduct)
    account = held(books, leaf(root, "AcctNo"))
    running = accounting_date(books.now(), calendar_day(books))
    entries = accounted(books, account.number, running, running)
    if not entries:
        raise Refused(NO_ENTRIES)
    journal, seen = leaf(root, "JournalNo"), number(leaf(root, "LogCount"), 0)
    repeats = "page_repeats" in conduct.faults
    # The next page begins after the entry whose number the client sends back.
    begin = (
        0
        if journal == "0" or repeats
        else next((place + 1 for place, entry in enumerate(entries) if trace(entry) == journal), len(entries))
    )
    page = entries[begin : begin + conduct.page_lines_4008]
    last = begin + len(page) >= len(entries) and not repeats
    rows = conduct.odd([row_4008(account, entry, charged(entries)) for entry in page])
    head = {
        "AcctNo": account.number,
        "CcyCode": "RMB",
        "TranDate": stamp(running + conduct.ahead),
        "EndFlag": "Y" if last else "N",
        "PageSize": str(conduct.page_lines_4008),
        "PageRecCount": str(len(rows)),
        "PageNo": leaf(root, "PageNo"),
        "JournalNo": trace(page[-1]) if page else journal,
        "LogCount": str(seen + len(page)),
    }
    return Done(with_rows(head, rows))


def _slow_down(books: Books, conduct: Conduct) -> None:
    if not conduct.rate_limit_per_s:
        return
    now, asked = books.now(), conduct.asked
    while asked and now - asked[0] >= timedelta(seconds=1):
        asked.popleft()
    if len(asked) >= conduct.rate_limit_per_s:
        raise Refused(TOO_MANY)
    asked.append(now)


def entries(root: etree._Element, books: Books, conduct: Conduct) -> Done:
    """Answer 4013: the entries of today, or those of past days of the host."""
    account, now = held(books, leaf(root, "AcctNo")), calendar_day(books)
    first, last = day(leaf(root, "BeginDate")), day(leaf(root, "EndDate"))
    running = first == last and first in (now, now + conduct.ahead)
    if running:
        # Today's list continues into the next accounting date, oldest first. The history has the newest entry first.
        found = accounted(books, account.number, now, now + timedelta(days=1))
    else:
        found = accounted(books, account.number, first - conduct.ahead, last - conduct.ahead)[::-1]
    if not found:
        raise Refused(NO_ENTRIES if running else NO_RECORD)
    repeats = "page_repeats" in conduct.faults
    place, size = number(leaf(root, "PageNo"), 1), number(leaf(root, "PageSize"), 30)
    page, more = cut(found, 1 if repeats else place, size)
    rows = conduct.odd(
        [row_4013(account, entry, charged(found), balance=not running, ahead=conduct.ahead) for entry in page]
    )
    head = {
        "AcctNo": account.number,
        "CcyCode": "RMB",
        "EndFlag": "N" if more or repeats else "Y",
        "Reserve": "",
        "PageNo": str(place),
        "PageRecCount": str(len(rows)),
    }
    return Done(with_rows(head, rows))


def returns(root: etree._Element, books: Books, conduct: Conduct) -> Done:
    """Answer 4019: the payments that came back in a period."""
    account = held(books, leaf(root, "AccNo"))
    back = books.returns(account.number, day(leaf(root, "StartDate")), day(leaf(root, "EndDate")))
    page, more = cut(back, number(leaf(root, "PageNo"), 1), number(leaf(root, "PageCts"), 30))
    head = {"IsEnd": "N" if more else "Y", "TotalCts": str(len(back))}
    return Done(with_rows(head, conduct.odd([row_4019(item) for item in page])))


def branches(root: etree._Element, _books: Books, _conduct: Conduct) -> Done:
    """Answer 4017: the branches of one bank by a key word."""
    first, word = leaf(root, "BankNo"), leaf(root, "KeyWord")
    found = [
        {"NodeName": title, "NodeCode": code}
        for code, title in BRANCHES
        if code.startswith(first) and word in title + code
    ]
    if not found:
        raise Refused(NO_RECORD)
    return Done(with_rows({}, found))
