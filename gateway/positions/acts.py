"""The acts about positions: the balances of every own account in the past, at present and in the forecast."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from gateway.act import AccountParam, Act, BankParam, ClearParam, CompanyParam, ParamForm, RoomActs
from gateway.people.rules.roles import READERS


@dataclass(frozen=True, slots=True)
class ViewPositions:
    """Parameters: the accounts that are shown, the day, and the numbers of past and future days."""

    as_of: Annotated[
        date | None, ParamForm(("As of the end of an earlier day.", "以较早某日日终为准。"), metavar="DAY")
    ] = None
    bank: BankParam = None
    company: CompanyParam = None
    currency: Annotated[str | None, ParamForm(("Only accounts in this currency.", "仅该币种的账户。"))] = None
    account: AccountParam = None
    history: Annotated[
        int | None,
        ParamForm(
            ("Also the balances of so many days.", "并列出该天数的历史余额。"), metavar="DAYS", least=0, most=400
        ),
    ] = None
    forecast: Annotated[
        int | None,
        ParamForm(
            ("For how many days ahead known payments are shown; default: 7.", "预计已知收付的天数；默认 7。"),
            metavar="DAYS",
            least=0,
            most=92,
        ),
    ] = None
    clear: ClearParam = False


POSITIONS = RoomActs(
    acts=(
        Act(
            "GET",
            "/positions",
            "positions.show",
            "reports",
            (
                "Show what every own account holds, as a tree with subtotals; totals; payments not sent, under way and "
                "in doubt.",
                "以树形显示每个本单位账户的余额及小计、合计，以及未发送、在途、结果未知的付款。",
            ),
            params=ViewPositions,
            roles=READERS,
            scoped=True,
            command="positions",
        ),
    )
)
