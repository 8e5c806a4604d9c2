"""The sentences of a check of a foreign client in English and Chinese, and the form in which its values are shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from gateway.language import Bilingual
from gateway.simbank.exchange_log import ConnectionTrouble
from protocols.judge import RuleKind

_SECRET = re.compile("pass|pwd|secret|token|密码", re.IGNORECASE)
_ACCOUNT = re.compile("ac[ctn]|cardno|账号|账户|卡号", re.IGNORECASE)
_ACCOUNT_NUMBER = re.compile(r"[0-9A-Za-z]*[0-9]{6,}[0-9A-Za-z]*")
_SHOWN_MAX = 80
_TAIL = 4


class ExchangeVerdict(StrEnum):
    """What the simulated bank did with one request, or that there was none."""

    ACCEPTED = "accepted"
    BROKEN_RULE = "broken_rule"
    BUSINESS = "business"
    NOT_READ = "not_read"
    CONNECTION = "connection"


VERDICTS: Mapping[ExchangeVerdict, Bilingual] = {
    ExchangeVerdict.ACCEPTED: ("accepted", "接受"),
    ExchangeVerdict.BROKEN_RULE: ("REFUSED, it breaks the page's rules", "拒绝（违反报文规则）"),
    ExchangeVerdict.BUSINESS: ("refused by business rules", "拒绝（业务原因）"),
    ExchangeVerdict.NOT_READ: ("NOT READ", "无法读取"),
    ExchangeVerdict.CONNECTION: ("CONNECTION", "连接异常"),
}
"""Each verdict on an exchange in English and Chinese."""
COUNTED: Mapping[ExchangeVerdict, Bilingual] = {
    ExchangeVerdict.ACCEPTED: ("accepted", "接受"),
    ExchangeVerdict.BROKEN_RULE: ("break rules", "违反报文规则"),
    ExchangeVerdict.BUSINESS: ("refused by business rules", "业务原因拒绝"),
    ExchangeVerdict.NOT_READ: ("not read", "无法读取"),
    ExchangeVerdict.CONNECTION: ("connection troubles", "连接异常"),
}
"""Each verdict as it stands behind a count."""
KINDS: Mapping[ExchangeVerdict, Bilingual] = {
    ExchangeVerdict.NOT_READ: ("unreadable", "报文无法读取"),
    ExchangeVerdict.CONNECTION: ("connection", "连接"),
}
"""The kind of a finding that is no rule about a field."""
RULES: Mapping[RuleKind, Bilingual] = {
    RuleKind.FRAME: ("structure", "报文结构"),
    RuleKind.CHARSET: ("character set", "字符集"),
    RuleKind.OPERATION: ("operation", "交易码"),
    RuleKind.HEADER: ("header", "报文头"),
    RuleKind.MISSING: ("required field", "必填项"),
    RuleKind.REPEATED: ("repeated field", "字段重复"),
    RuleKind.LENGTH: ("length", "长度"),
    RuleKind.ALPHABET: ("characters", "允许字符"),
    RuleKind.CODE: ("code list", "代码值"),
    RuleKind.FORM: ("form", "格式"),
    RuleKind.COUNT: ("number of rows", "行数"),
    RuleKind.BOOKS: ("the bank's books", "银行账务"),
    RuleKind.TOGETHER: ("fields together", "字段之间"),
    RuleKind.SIGNATURE: ("signature", "签名"),
}
TOUCHES: Mapping[str, Bilingual] = {
    "money": ("money", "动账"),
    "enquiry": ("enquiry", "查证"),
    "question": ("question", "查询"),
    "probe": ("sign-on or heartbeat", "签到或心跳"),
}
_NOT_READ: Bilingual = (
    "the request cannot be read; compare it with the page's example",
    "报文无法读取；请与接口文档的样例对照",
)
TROUBLES: Mapping[str, Bilingual] = {
    ConnectionTrouble.NO_CERTIFICATE: (
        "the client showed no certificate in the TLS handshake; give it the client certificate and its key",
        "TLS 握手中客户端未出示证书；请为客户端配置客户端证书与私钥",
    ),
    ConnectionTrouble.WRONG_CERTIFICATE: (
        "the client's certificate is not accepted; use one of this bank's authority that is valid now",
        "客户端证书不被接受；请使用由本行 CA 签发且在有效期内的证书",
    ),
    ConnectionTrouble.NOT_TLS: (
        "the port speaks TLS and something else came; switch TLS on in the client",
        "该端口使用 TLS，而收到的不是 TLS 数据；请在客户端启用 TLS",
    ),
    ConnectionTrouble.TLS_AT_PLAIN_PORT: (
        "the port speaks no TLS and a TLS handshake came; switch TLS off in the client, or set [tls] here",
        "该端口未启用 TLS，而收到 TLS 握手；请在客户端关闭 TLS，或在此处设置 [tls]",
    ),
    ConnectionTrouble.CLIENT_REFUSED_BANK: (
        "the client refused the bank's certificate; give it the bank's CA file, and connect to a name that is in the "
        "certificate",
        "客户端拒绝银行证书；请配置银行 CA 文件，并以证书所含的名称连接",
    ),
    ConnectionTrouble.TLS_VERSION: (
        "client and bank have no TLS version in common; the bank speaks 1.2 and 1.3",
        "双方没有共同的 TLS 版本；银行支持 1.2 与 1.3",
    ),
    ConnectionTrouble.TLS_CIPHERS: (
        "client and bank have no cipher suite in common; the bank speaks ECDHE with AES-GCM or ChaCha20",
        "双方没有共同的加密套件；银行支持 ECDHE 与 AES-GCM 或 ChaCha20",
    ),
    ConnectionTrouble.TLS_OTHER: ("the TLS handshake failed", "TLS 握手失败"),
    ConnectionTrouble.LEFT_IN_HANDSHAKE: (
        "the client closed before the TLS handshake was over",
        "TLS 握手未完成，客户端即断开",
    ),
    ConnectionTrouble.HALF_FRAME: (
        "the client closed in the middle of a request; compare the length it stated with the bytes it sent",
        "客户端在报文发送到一半时断开；请核对所填长度与实际发送的字节数",
    ),
    ConnectionTrouble.TOO_MANY: (
        "too many requests wait on one connection; wait for each answer before the next request",
        "同一连接上等待的请求过多；请收到应答后再发下一个请求",
    ),
    "charset": (
        "the bytes are not text in the bank's charset, or the message declares another one",
        "字节不是本行字符集的文本，或报文声明了其他字符集",
    ),
    "not_xml": ("the message is not well-formed XML", "报文不是格式正确的 XML"),
    "doctype": ("a document type or an entity; the bank takes neither", "含文档类型或实体，银行不接受"),
    "comment": ("a comment inside the message; the bank takes none", "报文内含注释，银行不接受"),
    "instruction": (
        "a processing instruction, or another XML declaration than the page's",
        "含处理指令，或 XML 声明与接口文档不同",
    ),
    "xml_limits": ("too many or too deep elements", "元素过多或层级过深"),
    "frame_length": (
        "the length field is not a plain decimal number, or contradicts the message",
        "长度字段不是十进制数字，或与报文不符",
    ),
    "frame_too_long": ("the message is longer than the bank takes", "报文长度超过银行允许的上限"),
    "truncated": ("the message ends too early", "报文不完整"),
    "trailing": ("bytes after the end of the message", "报文结束之后还有多余字节"),
    "http": ("this is not the HTTP that the page describes", "不是接口文档所述的 HTTP 报文"),
    "missing": ("a part that must be there is missing", "缺少必需的部分"),
    "ambiguous": ("a part that may stand once stands twice", "只能出现一次的部分出现了两次"),
    "value": ("a value is not of the page's form", "某个值不符合接口文档的格式"),
    "unsigned": ("there is no signature where one is required", "应签名而未签名"),
    "structure": ("the signature has another structure than the page's", "签名结构与接口文档不符"),
    "algorithm": ("the signature's algorithm is not the page's", "签名算法与接口文档不符"),
    "digest": ("what was signed was changed afterwards", "签名之后内容被改动"),
    "signature": ("the signature does not verify with the registered key", "用登记的密钥验签不通过"),
    "wrong_key": ("signed with a key that is not registered", "使用了未登记的密钥签名"),
}
"""What a reason of ProtocolError or a trouble of a connection means, and what to do. See `trouble`."""
REASONS: Mapping[str, Bilingual] = {
    "insufficient_funds": ("insufficient funds", "余额不足"),
    "unknown_account": ("unknown account", "账号不存在"),
    "wrong_currency": ("another currency than the account's", "币种与账户不符"),
    "bad_amount": ("an amount that is not above zero", "金额不大于零"),
    "refused_by_bank": ("refused as the order's words asked", "按指令中的标记拒绝"),
    "refused_late": ("refused later", "受理后拒绝"),
    "账号户名不符": ("the name is not the account's", "账号户名不符"),
    "收款账号不存在": ("no such account", "收款账号不存在"),
    "超过银行限额": ("over the bank's limit", "超过银行限额"),
    "非营业时间": ("outside the bank's hours", "非营业时间"),
    "duplicate": ("reference used before", "流水号重复"),
    "reference used before": ("reference used before", "流水号重复"),
    "returned_by_payee_bank": ("returned by the payee's bank", "收款行退汇"),
}
"""Why the simulated bank's books refuse an order."""
_RECONSTRUCTED: Bilingual = (
    "reconstructed from public material: the bank may rule otherwise",
    "据公开资料推断，请以银行答复为准",
)


def trouble(slug: str) -> Bilingual:
    """What is wrong with a request that could not be read, or with a connection; and what to do."""
    return TROUBLES.get(slug, _NOT_READ)


def reconstructed() -> Bilingual:
    """The label of a rule, or of a code, that is reconstructed from public material."""
    return _RECONSTRUCTED


def printable(text: str) -> str:
    """A client's or a bank's text, fit for a terminal and a page: no line break, no control character, not too long."""
    cut = text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)


def shown_value(place: str, rule: RuleKind, value: str) -> str:
    """A field's value as people see it: secrets hidden, account numbers cut to their last four characters."""
    last = place.rpartition("/")[2]
    if _SECRET.search(last):
        return "***" if value else ""
    if rule is RuleKind.BOOKS or _ACCOUNT.search(last):
        return printable(_ACCOUNT_NUMBER.sub(lambda found: f"…{found.group()[-_TAIL:]}", value))
    return printable(value)
