"""The fields of commands about many orders (batch, payroll, collection): a head for all of them, and the items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from protocols.canon.errors import Fault, FieldCode
from protocols.canon.money import BadMoney, Money
from protocols.canon.order import AnyOrder, BatchItemDetail, CollectionDetail, Detail, Order, PayrollItemDetail
from protocols.canon.party import AccountNumber, Name, Party, PartyKind
from protocols.erp.faults import MAX_FAULTS
from protocols.erp.form import (
    CHANNELS,
    MAKER,
    MAKER_SIGNATURE,
    URGENCIES,
    AddressForm,
    Contradiction,
    Form,
    PartyForm,
    Strict,
    Tags,
    address_of,
    amount_faults,
    said,
    set_tags,
    tagged,
    time_faults,
)
from protocols.erp.scalars import (
    Account,
    Amount,
    Bic,
    Cnaps,
    Currency,
    Day,
    OrderId,
    PersonName,
    PersonSignature,
    Purpose,
    Text140,
    Time,
    bounded,
)
from protocols.erp.terms_form import MandateForm, TermsForm, debit_terms_of, terms_faults, terms_of
from protocols.erp.words import MAX_ITEMS, OnItemError, SubmitBatch

_ON_ITEM_ERROR = {one.value: one for one in OnItemError}
_ITEMS = (Field(min_length=1, max_length=MAX_ITEMS), bounded(MAX_ITEMS))


class ItemForm(Strict):
    """One order of a batch. It has its own id and its own state."""

    id: OrderId = said("the item's id, unique per sender for ever", "明细编号，同一来源系统永久唯一")
    amount: Amount = said("a string, never a number; more than zero", "字符串，不得为数字；大于零")
    purpose: Purpose | None = said("as in the head; absent: the head's", "用途/附言；不填则用批次的", None)
    tags: Tags = said("added to the head's", "自定义标签，与批次的标签合并", {})
    terms: TermsForm | None = said("what only some rails carry", "部分汇路支持的附加要素", None)


class BatchItem(ItemForm):
    """A payment of a batch."""

    creditor: PartyForm = said("who is paid", "收款方")


class Employee(Strict):
    """A person who is paid wages, and the person's account."""

    account: Account = said("account number; leading zeros count", "账号；前导零有意义")
    name: Text140 = said("the holder's name exactly as the bank has it", "户名，须与银行登记一致")
    bank_name: Text140 | None = said("name of the account's branch", "开户行名称", None)
    cnaps: Cnaps | None = said("12-digit payment-system number of the branch", "联行号（12 位）", None)
    bic: Bic | None = said("BIC of the account's bank, where the rail wants one", "开户行 BIC", None)
    address: AddressForm | None = said("where the holder lives, where the rail wants it", "地址", None)
    document: Text140 | None = said("number of the identity document, where the bank asks for it", "证件号码", None)

    def party(self) -> Party:
        """The person as a Party."""
        return Party(
            AccountNumber(self.account),
            Name(self.name),
            self.bank_name,
            self.cnaps,
            PartyKind.PERSON,
            self.bic,
            address_of(self.address),
        )


class PayrollItem(ItemForm):
    """One person's pay."""

    creditor: Employee = said("who is paid", "收款人")


class CollectionItem(ItemForm):
    """One collection of money from a payer."""

    debtor: PartyForm = said("the other party, who agreed to pay", "付款方（对方），已签约")
    agreement: Text140 | None = said("its agreement; absent: the head's", "协议号；不填则用批次的", None)
    signed_on: Day | None = said("when the agreement was signed, where the scheme asks for it", "签约日期", None)


class BatchForm(Form):
    """The fields that all batches have in common."""

    id: OrderId = said(
        "the batch's id; unique per sender for ever, also among the ids of orders",
        "批次编号，同一来源系统永久唯一，也不得与付款指令编号相同",
    )
    count: Annotated[int, Field(ge=1, le=MAX_ITEMS)] = said("how many items there are", "明细笔数")
    sum: Amount = said("the items' amounts together", "明细金额合计")
    currency: Currency = said("ISO 4217 code, of all items", "币种代码（ISO 4217），适用于全部明细")
    purpose: Purpose = said("text for items that have none of their own", "用途/附言，用于未填用途的明细", "")
    urgency: Literal["normal", "urgent"] = said("how fast it is wanted", "加急程度", "normal")
    channel: Literal["auto", "same_bank", "large_value", "small_value", "instant"] = said(
        "payment rail; `auto` lets the gateway choose", "汇路；`auto` 由网关选择", "auto"
    )
    on_item_error: Literal["refuse_batch", "refuse_item"] = said(
        "whether an item that cannot be carried refuses the whole batch, or only itself",
        "某笔明细无法执行时：拒绝整批，或只拒绝该笔",
        "refuse_batch",
    )
    valid_until: Time | None = said(
        "after this moment no byte is sent any more; what is unsent expires", "过此时刻不再发送，未发送的明细过期", None
    )
    not_before: Time | None = said("before this moment nothing is sent", "此时刻之前不发送", None)
    tags: Tags = tagged()
    maker: PersonName | None = said(MAKER[0], MAKER[1], None)
    maker_signature: PersonSignature | None = said(MAKER_SIGNATURE[0], MAKER_SIGNATURE[1], None)

    def word(self) -> SubmitBatch:
        """The batch as a command value. Raises Contradiction."""
        found = self.contradictions(self.__dict__, frozenset())
        if found:
            raise Contradiction(found)
        tags = set_tags(self.tags)
        orders = tuple(self._order(item, number, tags) for number, item in enumerate(self._items(), start=1))
        return SubmitBatch(self.id, orders, _ON_ITEM_ERROR[self.on_item_error], tags)

    def _order(self, item: Any, number: int, tags: Mapping[str, str]) -> AnyOrder:
        debtor, creditor = self._sides(item)
        purpose = self.purpose if item.purpose is None else item.purpose
        own = set_tags(item.tags)
        order: Order[Any] = Order(
            item.id,
            debtor,
            creditor,
            Money.parse(item.amount, self.currency),
            self._detail(item, number),
            purpose,
            URGENCIES[self.urgency],
            CHANNELS[self.channel],
            self.valid_until,
            self.not_before,
            {**tags, **own} if own else tags,
            terms_of(item.terms, self.currency),
            self.maker,
            maker_signature=self.maker_signature,
        )
        return order

    def _items(self) -> Sequence[ItemForm]:
        raise NotImplementedError

    def _sides(self, item: Any) -> tuple[Party, Party]:
        """The payer and the payee."""
        raise NotImplementedError

    def _detail(self, item: Any, number: int) -> Detail:
        raise NotImplementedError

    @classmethod
    def contradictions(cls, values: Mapping[str, Any], faulty: frozenset[str]) -> tuple[Fault, ...]:
        """Faults between fields: count or sum other than the items', repeated ids, and each single order's own."""
        found = [*time_faults(values), *_item_faults(values)]
        return tuple(found[:MAX_FAULTS])

    @classmethod
    def beside_faults(cls, raw: Mapping[str, Any], faulty: frozenset[str]) -> tuple[Fault, ...]:
        """Faults of a stated count or sum that differs from the items', for a batch in which some items have faults of
        their own."""
        items = raw.get("items")
        if "items" not in faulty or not isinstance(items, list) or not 1 <= len(items) <= MAX_ITEMS:
            return ()
        found: list[Fault] = []
        if "count" not in faulty and raw.get("count") != len(items):
            found.append(_count_fault(raw["count"], len(items)))
        amounts = [amount for item in items if isinstance(item, dict) and isinstance(amount := item.get("amount"), str)]
        if not faulty & {"sum", "currency"} and len(amounts) == len(items):
            found += _sum_faults(raw["sum"], raw["currency"], amounts)
        return tuple(found)


def _count_fault(named: int, real: int) -> Fault:
    return Fault("/count", FieldCode.TOTAL, f"says {named}, there are {real} items", real)


def _sum_faults(named: str, currency: str, amounts: Sequence[str]) -> list[Fault]:
    """The fault of a stated sum that differs from the sum of the amounts; no fault if an amount does not fit the
    currency."""
    try:
        said_sum = Money.parse(named, currency)
        real = Money(sum(Money.parse(amount, currency).minor for amount in amounts), currency)
    except BadMoney:
        return []
    return [] if real == said_sum else [Fault("/sum", FieldCode.TOTAL, f"says {said_sum}, the items have {real}")]


def _item_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    items: Sequence[ItemForm] | None = values.get("items")
    currency, named = values.get("currency"), values.get("sum")
    yield from amount_faults("/sum", named, currency)
    if items is None:
        return
    count = values.get("count")
    if count is not None and count != len(items):
        yield _count_fault(count, len(items))
    seen = {values.get("id"): "the batch"}
    broken = False
    for number, item in enumerate(items):
        other = seen.setdefault(item.id, f"item {number}")
        if other != f"item {number}":
            yield Fault(f"/items/{number}/id", FieldCode.REPEATED, f"is also the id of {other}")
        wrong = (
            *amount_faults(f"/items/{number}/amount", item.amount, currency),
            *terms_faults(f"/items/{number}", item.terms, currency),
        )
        broken = broken or bool(wrong)
        yield from wrong
    if named is not None and currency is not None and not broken:
        yield from _sum_faults(named, currency, [item.amount for item in items])


class BatchSubmit(BatchForm):
    """Carry out many payments of one own account, each exactly once (批量付款)."""

    debtor: PartyForm = said("who pays: an own account", "付款方：本单位账户")
    items: Annotated[list[BatchItem], *_ITEMS] = said(
        f"the payments, at most {MAX_ITEMS}", f"明细，至多 {MAX_ITEMS} 笔"
    )

    def _items(self) -> Sequence[ItemForm]:
        return self.items

    def _sides(self, item: BatchItem) -> tuple[Party, Party]:
        return self.debtor.party(), item.creditor.party()

    def _detail(self, item: BatchItem, number: int) -> Detail:
        return BatchItemDetail(self.id, number)


class PayrollSubmit(BatchForm):
    """Pay wages to many persons, each exactly once (代发工资)."""

    debtor: PartyForm = said("who pays: an own account", "付款方：本单位账户")
    purpose_code: Text140 | None = said("the bank's code for this sort of pay, where it has one", "代发种类代码", None)
    agreement: Text140 | None = said("number of the payroll agreement, where the bank asks for it", "代发协议号", None)
    items: Annotated[list[PayrollItem], *_ITEMS] = said(f"the pays, at most {MAX_ITEMS}", f"明细，至多 {MAX_ITEMS} 笔")

    def _items(self) -> Sequence[ItemForm]:
        return self.items

    def _sides(self, item: PayrollItem) -> tuple[Party, Party]:
        return self.debtor.party(), item.creditor.party()

    def _detail(self, item: PayrollItem, number: int) -> Detail:
        document = item.creditor.document
        name = None if document is None else Name(document)
        return PayrollItemDetail(self.id, number, self.purpose_code, self.agreement, name)


class CollectionSubmit(BatchForm):
    """Collect money from others who agreed to it, each exactly once (代收)."""

    creditor: PartyForm = said("who is paid: an own account", "收款方：本单位账户")
    agreement: Text140 = said("the agreement for items that name none", "协议号，用于未填协议号的明细")
    mandate: MandateForm | None = said("what the scheme asks for besides", "扣款方案要求的其他要素", None)
    items: Annotated[list[CollectionItem], *_ITEMS] = said(
        f"the collections, at most {MAX_ITEMS}", f"明细，至多 {MAX_ITEMS} 笔"
    )

    def _items(self) -> Sequence[ItemForm]:
        return self.items

    def _sides(self, item: CollectionItem) -> tuple[Party, Party]:
        return item.debtor.party(), self.creditor.party()

    def _detail(self, item: CollectionItem, number: int) -> Detail:
        return CollectionDetail(
            item.agreement or self.agreement, self.id, number, debit_terms_of(self.mandate, item.signed_on)
        )
