"""The parts of every reply and event: open objects, closed lists of words, errors."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, WithJsonSchema

from protocols.canon.errors import Code, FieldCode, Resend
from protocols.canon.order import Kind
from protocols.canon.outcome import Certainty, Fate, State
from protocols.canon.statement import Direction
from protocols.erp.form import said
from protocols.erp.words import CommandType

Instant = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
BankDay = Annotated[str, WithJsonSchema({"type": "string", "format": "date"})]
SignedAmount = Annotated[str, WithJsonSchema({"type": "string", "pattern": r"^-?(0|[1-9][0-9]*)(\.[0-9]{1,4})?$"})]
Limit = Annotated[int, WithJsonSchema({"type": ["string", "integer"]})]
Iso = Literal["ACTC", "ACSP", "ACSC", "PDNG", "RJCT", "CANC"]


def _one_of(words: type[Enum]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": [word.value for word in words]})


StateName = Annotated[str, _one_of(State)]
CertaintyName = Annotated[str, _one_of(Certainty)]
ResendName = Annotated[str, _one_of(Resend)]
KindName = Annotated[str, _one_of(Kind)]
FateName = Annotated[str, _one_of(Fate)]
CodeName = Annotated[str, _one_of(Code)]
FieldCodeName = Annotated[str, _one_of(FieldCode)]
DirectionName = Annotated[str, _one_of(Direction)]
CommandName = Annotated[str, _one_of(CommandType)]


class GatewayForm(BaseModel):
    """The base of all messages from the gateway. A reader must ignore unknown fields: later versions add some."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class ErrorItem(GatewayForm):
    """One fault of one field."""

    at: str = said("JSON pointer to the field; empty for the whole body", "字段的 JSON 指针；空串表示整个消息体")
    code: FieldCodeName = said("what is wrong, of the closed list below", "错误代码，见下表")
    detail: str = said("the same in words, for people", "文字说明")
    limit: Limit | None = said(
        "the limit that was broken, if one was: an amount as a string in the order's currency, a length or count as an "
        "integer",
        "被突破的限值（若有）：金额为字符串，单位与付款指令相同；长度与笔数为整数",
        None,
    )


class Error(GatewayForm):
    """The reason of a refusal."""

    type: str = said("`urn:bankgw:error:` and the code", "`urn:bankgw:error:` 加代码")
    code: CodeName = said("of the closed list below", "错误代码，见下表")
    title: str = said("one sentence for people; it may change", "一句话说明，文字可能变化")
    resend: ResendName = said("whether, and with which id, to send again", "是否可重发及使用哪个编号")
    errors: list[ErrorItem] = said("every fault at once; may be empty", "一次列出全部错误；可为空")
