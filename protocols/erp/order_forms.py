"""The fields of commands about one order: submit a payment or a transfer, withdraw."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Literal

from protocols.canon.errors import Fault
from protocols.canon.money import BadMoney, Money
from protocols.canon.order import Order, PaymentDetail, TransferDetail
from protocols.erp.form import (
    CHANNELS,
    MAKER,
    MAKER_SIGNATURE,
    URGENCIES,
    Contradiction,
    Form,
    PartyForm,
    Tags,
    amount_faults,
    said,
    set_tags,
    tagged,
    time_faults,
)
from protocols.erp.scalars import (
    Amount,
    ApprovalDigest,
    Currency,
    OrderId,
    PersonName,
    PersonSignature,
    PoolName,
    Purpose,
    ReasonText,
    Time,
)
from protocols.erp.terms_form import TermsForm, terms_faults, terms_of
from protocols.erp.words import CancelOrder, DecideOrder, SubmitOrder

_DETAIL = PaymentDetail()


class PaymentSubmit(Form):
    """Carry out one payment, exactly once."""

    id: OrderId = said("the order's id, unique per sender for ever", "付款指令编号，同一来源系统永久唯一")
    debtor: PartyForm = said("who pays: an own account", "付款方：本单位账户")
    creditor: PartyForm = said("who is paid", "收款方")
    amount: Amount = said("a string, never a number; more than zero", "字符串，不得为数字；大于零")
    currency: Currency = said("ISO 4217 code", "币种代码（ISO 4217）")
    purpose: Purpose = said("text for the payee; banks limit it further", "用途/附言；各银行另有长度限制", "")
    urgency: Literal["normal", "urgent"] = said("how fast it is wanted", "加急程度", "normal")
    channel: Literal["auto", "same_bank", "large_value", "small_value", "instant"] = said(
        "payment rail; `auto` lets the gateway choose", "汇路；`auto` 由网关选择", "auto"
    )
    valid_until: Time | None = said(
        "after this moment no byte is sent any more; the order expires", "过此时刻不再发送，付款指令过期", None
    )
    not_before: Time | None = said("before this moment nothing is sent", "此时刻之前不发送", None)
    tags: Tags = tagged()
    terms: TermsForm | None = said("what only some rails carry", "部分汇路支持的附加要素", None)
    maker: PersonName | None = said(MAKER[0], MAKER[1], None)
    funded_by: PoolName | None = said(
        "the cash pool whose header brings what the debtor's account lacks, before this is sent (linked payment)",
        "联动支付：付款账户余额不足时，先由该资金池主账户下拨不足部分，再发送本笔",
        None,
    )
    maker_signature: PersonSignature | None = said(MAKER_SIGNATURE[0], MAKER_SIGNATURE[1], None)

    def word(self) -> SubmitOrder:
        """The order as canon's type. Raises Contradiction."""
        late = self.not_before is not None and self.valid_until is not None and self.not_before >= self.valid_until
        if late or any(terms_faults("", self.terms, self.currency)):
            raise Contradiction(self.contradictions(self.__dict__, frozenset()))
        try:
            money = Money.parse(self.amount, self.currency)
            terms = terms_of(self.terms, self.currency)
        except BadMoney:
            raise Contradiction(self.contradictions(self.__dict__, frozenset())) from None
        order: Order[Any] = Order(
            self.id,
            self.debtor.payer(),
            self.creditor.party(),
            money,
            self.detail(),
            self.purpose,
            URGENCIES[self.urgency],
            CHANNELS[self.channel],
            self.valid_until,
            self.not_before,
            set_tags(self.tags),
            terms,
            self.maker,
            self.funded_by,
            self.maker_signature,
        )
        return SubmitOrder(order)

    def detail(self) -> PaymentDetail | TransferDetail:
        """The detail that makes the order a payment, from its fields."""
        return _DETAIL

    @classmethod
    def contradictions(cls, values: Mapping[str, Any], faulty: frozenset[str]) -> tuple[Fault, ...]:
        """Faults between fields: decimals that the currency does not have, or a start that is not before the end."""
        amounts = amount_faults("/amount", values.get("amount"), values.get("currency"))
        return (*amounts, *terms_faults("", values.get("terms"), values.get("currency")), *time_faults(values))


class TransferSubmit(PaymentSubmit):
    """Move money between own accounts, exactly once (资金调拨)."""

    debtor: PartyForm = said("the own account that pays", "付款方：本单位账户")
    creditor: PartyForm = said("the own account that is paid", "收款方：本单位账户")
    direction: Literal["transfer", "sweep", "push"] = said(
        "`transfer`; `sweep` up to the main account (归集), `push` down from it (下拨)",
        "`transfer` 调拨；`sweep` 归集；`push` 下拨",
        "transfer",
    )

    def detail(self) -> TransferDetail:
        """A transfer in its direction."""
        return TransferDetail(self.direction)


class PaymentCancel(Form):
    """Withdraw an order before it is sent, or the unsent rest of a batch."""

    id: OrderId = said("the id of the order or batch to withdraw", "要撤销的付款指令或批次编号")
    reason: ReasonText = said("kept in the audit trail", "原因，记入审计记录", "")

    def word(self) -> CancelOrder:
        """The command as a value."""
        return CancelOrder(self.id, self.reason)


class PaymentApprove(Form):
    """An approver's signed approval of an order or a batch."""

    id: OrderId = said("the id of the order or batch that waits", "待复核的付款指令或批次编号")
    person: PersonName = said("who signed, by the enrolled name", "签名的复核人，即其登记的名称")
    digest: ApprovalDigest = said("the digest that was signed, as `bankgw approvals show` prints it", "所签的校验值")
    signature: PersonSignature = said(
        "Ed25519, by the person's own key, of the words bankgw approvals 1, approve and the digest, one a line, no "
        "line end after the last",
        "复核人用本人密钥所作的 Ed25519 签名，内容为 bankgw approvals 1、approve 与校验值三行，末行无换行",
    )

    def word(self) -> DecideOrder:
        """The command as a value."""
        return DecideOrder(self.id, True, self.person, self.digest, b64decode(self.signature))


class PaymentReject(Form):
    """An approver's signed rejection: the order, or the waiting part of the batch, is cancelled."""

    id: OrderId = said("the id of the order or batch that waits", "待复核的付款指令或批次编号")
    person: PersonName = said("who signed, by the enrolled name", "签名的复核人，即其登记的名称")
    digest: ApprovalDigest = said("the digest that was signed, as `bankgw approvals show` prints it", "所签的校验值")
    signature: PersonSignature = said(
        "as in `payment.approve`, with `reject` as the second line", "同 `payment.approve`，第二行为 `reject`"
    )
    reason: ReasonText = said("kept in the audit trail", "原因，记入审计记录", "")

    def word(self) -> DecideOrder:
        """The command as a value."""
        return DecideOrder(self.id, False, self.person, self.digest, b64decode(self.signature), self.reason)
