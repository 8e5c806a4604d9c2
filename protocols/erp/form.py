"""The parts of every command's form: strict objects, fields with their meaning in two languages, parties.

pydantic is used here only; the results are canon's types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from protocols.canon.errors import Fault, FieldCode
from protocols.canon.money import BadMoney, Money
from protocols.canon.order import Channel, Urgency
from protocols.canon.party import AccountNumber, Address, Name, Party, PartyKind
from protocols.erp.scalars import Account, Bic, Cnaps, CountryCode, TagName, TagValue, Text35, Text70, Text140, bounded
from protocols.erp.words import Command

MAX_TAGS = 20
MAX_ADDRESS_LINES = 7


class Contradiction(ValueError):
    """Each field is well formed, but the fields do not fit together."""

    def __init__(self, found: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(fault.detail for fault in found))
        self.faults = found


class Strict(BaseModel):
    """A JSON object that has these fields and no others, every value of exactly the type named."""

    # The error's text does not contain the input, so an error in a log shows no account number.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class Form(Strict):
    """One command as its sender wrote it; every field is well formed by itself."""

    def word(self) -> Command:
        """The command as canon's types. Raises Contradiction when its fields do not fit together."""
        raise NotImplementedError

    @classmethod
    def contradictions(cls, values: Mapping[str, Any], faulty: frozenset[str]) -> tuple[Fault, ...]:
        """Faults between fields, judged from those that could be read; `faulty` names the others."""
        return ()

    @classmethod
    def beside_faults(cls, raw: Mapping[str, Any], faulty: frozenset[str]) -> tuple[Fault, ...]:
        """Faults that only the raw body shows, in addition to those of the fields in `faulty`."""
        return ()


def said(en: str, zh: str, default: Any = ..., alias: str | None = None, shown: str | None = None) -> Any:
    """A field with its meaning in both languages. `shown` is the default as the ERP would write it."""
    extra: dict[str, Any] = {"x-zh": zh} if shown is None else {"x-zh": zh, "default": shown}
    return Field(default, alias=alias, description=en, json_schema_extra=extra)


_PARTY_KINDS = {kind.value: kind for kind in PartyKind}
URGENCIES = {urgency.value: urgency for urgency in Urgency}
CHANNELS = {channel.value: channel for channel in Channel}


MAKER = (
    "the person who made it, by the name under which that person is enrolled. It counts with `maker_signature`, or "
    "where the approval policy trusts this sender's makers; else two persons must approve, where a policy is in force",
    "经办人，即其在本系统登记的名称。须附 `maker_signature`，或审批策略信任本来源系统的经办人；"
    "否则，只要审批策略生效，须两人复核",
)
MAKER_SIGNATURE = (
    "Ed25519, by the maker's own key, of the words bankgw makers 1, the environment (test or live), the sender's name "
    "and the fingerprint of this command, one a line, no line end after the last: `bankgw approvals sign-made`",
    "经办人用本人密钥所作的 Ed25519 签名，内容为 bankgw makers 1、环境（test 或 live）、来源系统名称与本指令指纹四行，"
    "末行无换行；可用 `bankgw approvals sign-made` 生成",
)


class AddressForm(Strict):
    """The address of a party, field by field; `lines` is for parts that cannot be separated."""

    country: CountryCode | None = said("ISO 3166, two letters", "国家代码（ISO 3166）", None)
    town: Text35 | None = said("town", "城市", None)
    postcode: Annotated[Text35, Field(max_length=16)] | None = said("postcode", "邮编", None)
    street: Text70 | None = said("street", "街道", None)
    building: Annotated[Text35, Field(max_length=16)] | None = said("building number", "门牌号", None)
    lines: Annotated[list[Text70], Field(max_length=MAX_ADDRESS_LINES), bounded(MAX_ADDRESS_LINES)] = said(
        "address lines; banks take fewer and fewer of them", "地址行（各银行逐步不再接受）", []
    )

    def address(self) -> Address:
        """The address as canon's type."""
        return Address(
            self.country or "",
            self.town or "",
            self.postcode or "",
            self.street or "",
            self.building or "",
            tuple(self.lines),
        )


def address_of(form: AddressForm | None) -> Address | None:
    """The address as canon's type; None if no address is given."""
    return None if form is None else form.address()


class PartyForm(Strict):
    """An account with its holder."""

    account: Account = said("account number; leading zeros count", "账号；前导零有意义")
    name: Text140 = said("the holder's name exactly as the bank has it", "户名，须与银行登记一致")
    bank_name: Text140 | None = said("name of the account's branch", "开户行名称", None)
    cnaps: Cnaps | None = said("12-digit payment-system number of the branch", "联行号（12 位）", None)
    kind: Literal["corporate", "person"] = said("organisation or person", "对公或对私", "corporate")
    bic: Bic | None = said("BIC of the account's bank, where the rail wants one", "开户行 BIC", None)
    address: AddressForm | None = said("where the holder lives, where the rail wants it", "地址", None)

    def party(self) -> Party:
        """The party as canon's type."""
        return Party(
            AccountNumber(self.account),
            Name(self.name),
            self.bank_name,
            self.cnaps,
            _PARTY_KINDS[self.kind],
            self.bic,
            address_of(self.address),
        )

    def payer(self) -> Party:
        """The payer as canon's type. Few accounts pay many orders, so orders in memory share one value."""
        return _shared(self.party())


@lru_cache(maxsize=256)
def _shared(party: Party) -> Party:
    return party


Tags = Annotated[dict[TagName, TagValue | None], Field(max_length=MAX_TAGS), bounded(MAX_TAGS)]


def tagged() -> Any:
    """The field `tags`."""
    # A default of {} would be copied deeply for each command. The schema shows the same default.
    return Field(
        default_factory=dict,
        description="names (ASCII letters, digits, _ . -) and values of your own, returned with every event",
        json_schema_extra={"x-zh": "自定义标签（名称限 ASCII 字母、数字、_ . -），随每个事件返回", "default": {}},
    )


def set_tags(tags: Mapping[str, str | None]) -> dict[str, str]:
    """The tags without those that are null."""
    return {name: value for name, value in tags.items() if value is not None}


def patience() -> Any:
    """The field `max_wait` of a question that a bank answers at once."""
    return said(
        "after this long the answer is `expired`, PT1S to PT10M",
        "最长等待时间，超时应答 `expired`，PT1S 至 PT10M",
        60,
        shown="PT1M",
    )


def amount_faults(at: str, amount: str | None, currency: str | None) -> Iterator[Fault]:
    """Faults of amounts with decimals that the currency does not have."""
    if amount is None or currency is None:
        return
    try:
        Money.parse(amount, currency)
    except BadMoney as error:
        yield Fault(at, FieldCode.AMOUNT, str(error))


def time_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    """A fault if the start is not before the end."""
    start, end = values.get("not_before"), values.get("valid_until")
    if start is not None and end is not None and start >= end:
        yield Fault("/not_before", FieldCode.DATE_RANGE, "is not before valid_until")
