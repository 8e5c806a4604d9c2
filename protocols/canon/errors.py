"""The closed list of error codes that an ERP can receive. Texts may change; codes and their `resend` advice may not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Resend(StrEnum):
    """Whether the sender may send the command again, and under which id."""

    SAME_ID = "same_id"
    NEW_ID = "new_id"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class CodeFacts:
    """The meaning of a code in both languages, and the action that is open to the sender.

    `recorded` is the advice if the refused order was recorded as a payment in state `rejected`, which uses up its id;
    None if an order that is refused with this code is never recorded.
    """

    resend: Resend
    meaning: str
    meaning_zh: str
    recorded: Resend | None = None


class Code(StrEnum):
    """The codes with which a whole command is refused."""

    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    UNKNOWN_TYPE = "unknown_type"
    TYPE_CONFLICT = "type_conflict"
    NO_SENDER = "no_sender"
    UNKNOWN_SENDER = "unknown_sender"
    NOT_ALLOWED = "not_allowed"
    BAD_SIGNATURE = "bad_signature"
    REPLY_TO_REFUSED = "reply_to_refused"
    SCHEMA = "schema"
    VALIDATION = "validation"
    ID_CONFLICT = "id_conflict"
    EXPIRED = "expired"
    UNSUPPORTED = "unsupported"
    UNKNOWN_PAYMENT = "unknown_payment"
    TOO_LATE = "too_late"
    NOT_APPROVED = "not_approved"
    BAD_CURSOR = "bad_cursor"
    BANK_UNAVAILABLE = "bank_unavailable"
    BANK_REFUSED = "bank_refused"
    BANK_UNCLEAR = "bank_unclear"
    BOOK_REFUSED = "book_refused"
    BOOK_FROZEN = "book_frozen"
    BOOK_MATCHED = "book_matched"
    UNKNOWN_BOOK = "unknown_book"
    UNKNOWN_ENTRY = "unknown_entry"
    ALREADY_CLAIMED = "already_claimed"
    INTERNAL = "internal"


class FieldCode(StrEnum):
    """The codes of one fault inside a command. A JSON pointer names the field."""

    REQUIRED = "required"
    TYPE = "type"
    UNKNOWN_FIELD = "unknown_field"
    PATTERN = "pattern"
    TOO_LONG = "too_long"
    TOO_SHORT = "too_short"
    CHARSET = "charset"
    FORBIDDEN_CHARACTER = "forbidden_character"
    UNKNOWN_CODE = "unknown_code"
    AMOUNT = "amount"
    AMOUNT_RANGE = "amount_range"
    CURRENCY = "currency"
    UNKNOWN_ACCOUNT = "unknown_account"
    ACCOUNT_NOT_ALLOWED = "account_not_allowed"
    ACCOUNT_CLOSED = "account_closed"
    OVER_LIMIT = "over_limit"
    TIME = "time"
    DATE_RANGE = "date_range"
    UNSUPPORTED = "unsupported"
    TOTAL = "total"
    REPEATED = "repeated"
    HOLDER_NAME = "holder_name"


_S, _N, _X = Resend.SAME_ID, Resend.NEW_ID, Resend.NEVER

CODES: Mapping[Code, CodeFacts] = {
    Code.MALFORMED: CodeFacts(
        _S, "the body is not well-formed JSON or XML in UTF-8", "消息体不是合法的 UTF-8 JSON 或 XML"
    ),
    Code.TOO_LARGE: CodeFacts(_S, "the body is over 1 MiB", "消息体超过 1 MiB"),
    Code.UNKNOWN_TYPE: CodeFacts(_S, "no command has this name", "没有这种命令"),
    Code.TYPE_CONFLICT: CodeFacts(
        _S, "routing key, header and property name different commands", "路由键、消息头与属性中的命令名不一致"
    ),
    Code.NO_SENDER: CodeFacts(_S, "a money command needs the user-id property", "资金类命令必须带 user-id 属性"),
    Code.UNKNOWN_SENDER: CodeFacts(
        _S, "this broker user belongs to no configured sender", "该消息用户未配置为来源系统"
    ),
    Code.NOT_ALLOWED: CodeFacts(_S, "this sender may not use this operation", "该来源系统无权使用此操作"),
    Code.BAD_SIGNATURE: CodeFacts(_S, "the message signature is missing or wrong", "消息签名缺失或错误"),
    Code.REPLY_TO_REFUSED: CodeFacts(
        _S, "this sender may not have replies sent to that queue", "该来源系统不得使用此回复队列"
    ),
    Code.SCHEMA: CodeFacts(
        _S, "fields are missing or of the wrong form; the id is still free", "字段缺失或格式错误；编号未被占用"
    ),
    Code.VALIDATION: CodeFacts(_S, "the order cannot be carried as it is", "付款指令内容无法执行", recorded=_N),
    Code.ID_CONFLICT: CodeFacts(
        _N, "this id was used before with other content; nothing happened", "编号已用于不同内容；未做任何处理"
    ),
    Code.EXPIRED: CodeFacts(
        _S, "its time was over before the gateway carried it out or answered it", "执行或答复之前已超过有效期"
    ),
    Code.UNSUPPORTED: CodeFacts(_S, "the account's bank does not offer this operation", "该账户的银行不支持此操作"),
    Code.UNKNOWN_PAYMENT: CodeFacts(_S, "this sender has no payment with that id", "该来源系统没有此编号的付款"),
    Code.TOO_LATE: CodeFacts(_X, "the payment may already be at the bank", "付款可能已到达银行"),
    Code.NOT_APPROVED: CodeFacts(_S, "the signed decision about an order does not count", "复核人的签名不作数"),
    Code.BAD_CURSOR: CodeFacts(_S, "the continuation is not one that this gateway gave out", "翻页标记无效"),
    Code.BANK_UNAVAILABLE: CodeFacts(
        _S, "the bank did not answer in time; a question may be asked again", "银行未及时应答；查询可重试"
    ),
    Code.BANK_REFUSED: CodeFacts(_S, "the bank refused the question", "银行拒绝了查询"),
    Code.BANK_UNCLEAR: CodeFacts(_S, "the bank's answer could not be used", "银行应答无法使用"),
    Code.BOOK_REFUSED: CodeFacts(
        _S,
        "the book does not add up, or does not fit the books before and after it; all of it is dropped",
        "日记账自身或与相邻日记账不符；已整本丢弃",
    ),
    Code.BOOK_FROZEN: CodeFacts(
        _X,
        "the reconciliation statement of that month is approved, and so its book stays",
        "该月余额调节表已审批，日记账不得变更",
    ),
    Code.BOOK_MATCHED: CodeFacts(
        _S, "a person decided about a row of the book; undo that first", "已有人工确认涉及该日记账；请先撤销"
    ),
    Code.UNKNOWN_BOOK: CodeFacts(_S, "this sender has no book with that id", "该来源系统没有此编号的日记账"),
    Code.UNKNOWN_ENTRY: CodeFacts(_S, "no entry of that account is known by this key", "该账户没有此明细"),
    Code.ALREADY_CLAIMED: CodeFacts(_X, "the money is claimed already, by another id", "该笔来款已被认领"),
    Code.INTERNAL: CodeFacts(_S, "a fault of the gateway; the message is parked", "网关内部错误；消息已停放"),
}

FIELD_CODES: Mapping[FieldCode, tuple[str, str]] = {
    FieldCode.REQUIRED: ("the field must be present", "必填"),
    FieldCode.TYPE: ("the value has the wrong type", "类型错误"),
    FieldCode.UNKNOWN_FIELD: ("no such field", "没有此字段"),
    FieldCode.PATTERN: ("the value has the wrong form", "格式错误"),
    FieldCode.TOO_LONG: ("the value is over its length limit", "超长"),
    FieldCode.TOO_SHORT: ("the value is under its least length", "过短"),
    FieldCode.CHARSET: ("a character does not exist in the bank's character set", "字符不在银行字符集内"),
    FieldCode.FORBIDDEN_CHARACTER: ("the bank refuses this character", "银行不接受此字符"),
    FieldCode.UNKNOWN_CODE: ("the value is in no list of known codes", "代码未知"),
    FieldCode.AMOUNT: ("not an amount of money in this contract", "金额格式错误"),
    FieldCode.AMOUNT_RANGE: ("outside what the bank carries in one order", "超出银行单笔范围"),
    FieldCode.CURRENCY: ("the account or bank does not carry this currency", "不支持的币种"),
    FieldCode.UNKNOWN_ACCOUNT: ("not an account in the gateway's account register", "不在账户登记簿内"),
    FieldCode.ACCOUNT_NOT_ALLOWED: ("this sender may not use this account", "来源系统无权使用该账户"),
    FieldCode.ACCOUNT_CLOSED: ("the account is not open on this day", "账户当日未启用或已关闭"),
    FieldCode.OVER_LIMIT: ("over one of this sender's limits", "超过来源系统限额"),
    FieldCode.TIME: ("not a time with a zone, or in the past", "时间缺少时区或已过去"),
    FieldCode.DATE_RANGE: (
        "the dates are in the wrong order or too far back for the bank",
        "日期范围错误或超出银行可查范围",
    ),
    FieldCode.UNSUPPORTED: ("the bank has no such option", "银行无此选项"),
    FieldCode.TOTAL: ("the count or sum is not that of the items", "笔数或合计与明细不符"),
    FieldCode.REPEATED: ("the id occurs twice in one batch", "编号在同一批次内重复"),
    FieldCode.HOLDER_NAME: ("not the holder's name in the account register", "与账户登记簿中的户名不符"),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one field. `detail` contains no unmasked account number.

    `limit` is the limit it broke, if any, in the unit of the order: an amount is written as in the order, as a string;
    a length or a count is a whole number.
    """

    at: str
    code: FieldCode
    detail: str
    limit: int | str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A command's refusal with all its faults at once."""

    code: Code
    title: str
    faults: tuple[Fault, ...] = field(default_factory=tuple)

    @property
    def resend(self) -> Resend:
        """Whether the sender may try again, and under which id, if nothing was recorded. The code decides this."""
        return CODES[self.code].resend

    @property
    def resend_recorded(self) -> Resend:
        """Whether the sender may try again if the order was recorded as a rejected payment."""
        facts = CODES[self.code]
        return facts.recorded or facts.resend
