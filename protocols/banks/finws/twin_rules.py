"""The rules of a bank of the Finnish Web Services for an envelope and an ApplicationRequest, transcribed from README.md
2.

Files of payments have rules of their own (`twin_rules_files.py`), and so have requests for certificates
(`twin_rules_certificates.py`). The adapter never reads any of them.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Final

from lxml import etree

from protocols.judge import (
    BankRefusal,
    BothLanguages,
    BrokenForm,
    FieldContradiction,
    FieldRule,
    FieldsOf,
    HeldAccounts,
    RequestFinding,
    RequestRules,
    RowsRule,
    RuleKind,
    TogetherRule,
    ValueForm,
    all_of,
    anything,
    days_in_order,
    digits,
    one_of,
    pattern,
    text,
    value,
)

TEXTS: Final = {
    "00": "OK.",
    "02": "SOAP signature error.",
    "05": "Operation unknown.",
    "06": "Operation is restricted.",
    "07": "Sender not found.",
    "10": "User not authorized.",
    "12": "Schema validation failed.",
    "18": "Content digital signature not valid.",
    "20": "Invalid file type.",
    "21": "Deflate error.",
    "22": "Decryption failed.",
    "24": "Content not found.",
    "26": "Technical error.",
    "27": "Not deletable.",
    "29": "Invalid parameters.",
    "30": "Authentication failed.",
    "31": "Duplicate message rejected.",
    "32": "Duplicate ApplicationRequest rejected.",
}
"""The bank's codes with their texts (README.md 9)."""
MODEL: Final = "http://model.bxd.fi"
DATA: Final = "http://bxd.fi/xmldata/"
DSIG: Final = "http://www.w3.org/2000/09/xmldsig#"
COMMANDS: Final = {
    "uploadFile": "UploadFile",
    "downloadFileList": "DownloadFileList",
    "downloadFile": "DownloadFile",
    "deleteFile": "DeleteFile",
    "getUserInfo": "GetUserInfo",
}


def refusal(code: str, *, reconstructed: bool = False) -> BankRefusal:
    """The bank's refusal under one of its codes."""
    return BankRefusal(code, TEXTS[code], reconstructed)


FAULT: Final = BankRefusal("soap:Client", "a SOAP fault; this is no message of the service", reconstructed=True)
NOT_POSTED: Final = BankRefusal("405", "Method Not Allowed", reconstructed=True)
UNPROVEN: Final = refusal("02")
NOT_SIGNED: Final = refusal("18")
_STRANGER: Final = refusal("07")
_SCHEMA: Final = refusal("12")
_PARAMETERS: Final = refusal("29")
_HEADER_ROW: Final = "README.md 2, RequestHeader"
_DOCUMENT_ROW: Final = "README.md 2, ApplicationRequest"
SECURITY_ROW: Final = "README.md 4, 2: transport signature"
SIGNER_ROW: Final = "README.md 4, 1: content signature"
ENVELOPE_ROW: Final = "README.md 2, SOAP 1.1"
_HTTP_ROW: Final = "README.md 1: POST, text/xml, UTF-8"


def broken(
    place: str,
    rule: RuleKind,
    shown: str,
    words: tuple[str, str],
    source: str,
    answer: BankRefusal,
    *,
    reconstructed: bool = False,
) -> RequestFinding:
    """A finding about a rule that no table of fields can hold; `words` are English and Chinese."""
    return RequestFinding(place, rule, shown[:80], BothLanguages(*words), source, answer, reconstructed)


# ---- forms of values ----------------------------------------------------------------------------------------


def _form_fault(english: str, chinese: str) -> BrokenForm:
    return BrokenForm(RuleKind.FORM, BothLanguages(english, chinese))


def day(given: str) -> BrokenForm | None:
    """A calendar day, YYYY-MM-DD."""
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", given, re.ASCII):
            date.fromisoformat(given)
            return None
    except ValueError:
        pass
    return _form_fault("is no day of the form 2026-11-24", "不是 2026-11-24 格式的日期")


def moment(given: str) -> BrokenForm | None:
    """Date and time of day, as XML Schema writes them; the offset from UTC may be missing."""
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?", given, re.ASCII):
            datetime.fromisoformat(given)
            return None
    except ValueError:
        pass
    return _form_fault("is no time of the form 2026-11-24T12:00:00+02:00", "不是 2026-11-24T12:00:00+02:00 格式的时间")


def base64_text(given: str) -> BrokenForm | None:
    """Bytes in base64; white space between the characters does not count."""
    try:
        base64.b64decode("".join(given.split()), validate=True)
    except (binascii.Error, ValueError):
        return _form_fault("is not base64", "不是 base64")
    return None


def chars(most: int, least: int = 1) -> ValueForm:
    """A text of so many characters."""
    span = f"{least} to {most}" if least > 1 else f"at most {most}"

    def judge(given: str) -> BrokenForm | None:
        if least <= len(given) <= most:
            return None
        words = BothLanguages(f"has {len(given)} characters, must have {span}", f"长 {len(given)} 字，应为 {span} 字")
        return BrokenForm(RuleKind.LENGTH, words)

    return judge


_OFFSET: Final = pattern(r".*(Z|[+-]\d\d:\d\d)", "has no offset from UTC", "缺少时区")
_STAMP: Final = all_of(moment, _OFFSET)
_TRUTH: Final = one_of("true", "false", "1", "0")
_DOUBLE: Final = pattern(r"\d+(\.\d+)?([eE][+-]?\d+)?", "is no number of xs:double", "不是 xs:double 数值")
_BIC: Final = pattern("[A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?", "is no BIC", "不是 BIC")


def _field(
    place: str, form: ValueForm, *, needed: bool = False, answer: BankRefusal | None = None, guessed: bool = False
) -> FieldRule:
    return FieldRule(place, form, f"{_DOCUMENT_ROW}: {place}", needed, answer, guessed)


# ---- HTTP and the envelope ----------------------------------------------------------------------------------

HTTP_RULES: Final = RequestRules(
    "HTTP",
    FAULT,
    (
        FieldRule(":method", one_of("POST"), _HTTP_ROW, True, NOT_POSTED, rule=RuleKind.HEADER),
        FieldRule(
            "content-type",
            pattern(
                r"""text/xml\s*(;\s*charset\s*=\s*"?[uU][tT][fF]-?8"?\s*)?""",
                "is not text/xml in UTF-8",
                "不是 UTF-8 的 text/xml",
            ),
            _HTTP_ROW,
            rule=RuleKind.HEADER,
        ),
    ),
)
"""Of the HTTP request: its method as `:method`, and its headers by their names in small letters."""

SECURITY_RULES: Final = RequestRules(
    "wsse:Security",
    UNPROVEN,
    (FieldRule("BinarySecurityToken", base64_text, f"{SECURITY_ROW}: BinarySecurityToken", True),),
)
"""Of wsse:Security in the SOAP header. Its time stamp and signature are judged in twin_carrier.py."""

_HEADER_FIELDS: Final = ("SenderId", "RequestId", "Timestamp", "Language", "UserAgent", "ReceiverId")


def _head(name: str, form: ValueForm, answer: BankRefusal, *, guessed: bool = False) -> FieldRule:
    return FieldRule(f"RequestHeader/{name}", form, f"{_HEADER_ROW}: {name}", True, answer, guessed)


HEADER_RULES: Final = RequestRules(
    "RequestHeader",
    _PARAMETERS,
    (
        _head("SenderId", chars(35), _STRANGER),
        _head("RequestId", chars(35), _PARAMETERS),
        _head("Timestamp", _STAMP, refusal("29", reconstructed=True)),
        # The page names these three elements; that each must be there is read from public clients, which all write it.
        _head(
            "Language",
            pattern("[A-Z]{2}", "is no language of two letters", "不是两位字母的语言代码"),
            refusal("29", reconstructed=True),
            guessed=True,
        ),
        _head("UserAgent", text(max_chars=80, charset="utf-8"), refusal("29", reconstructed=True), guessed=True),
        _head("ReceiverId", _BIC, refusal("29", reconstructed=True), guessed=True),
    ),
)
"""Of the operation's element: its RequestHeader."""


def envelope_findings(asked: etree._Element) -> Iterator[RequestFinding]:
    """The faults in the elements of an operation: names, namespaces, order."""
    model = f"{{{MODEL}}}"
    names = [str(child.tag) for child in asked]
    if names != [f"{model}RequestHeader", f"{model}ApplicationRequest"]:
        words = (
            "holds other elements than RequestHeader and ApplicationRequest",
            "应只含 RequestHeader 和 ApplicationRequest",
        )
        yield broken(etree.QName(asked).localname, RuleKind.FRAME, " ".join(names), words, ENVELOPE_ROW, FAULT)
        return
    known = [f"{model}{name}" for name in _HEADER_FIELDS]
    written = [str(child.tag) for child in asked[0]]
    if odd := next((name for name in written if name not in known), ""):
        words = ("is no element of the header", "不是报文头的元素")
        yield broken("RequestHeader", RuleKind.FRAME, odd, words, _HEADER_ROW, _SCHEMA)
    elif written != sorted(written, key=known.index):
        words = ("has its elements in another order", "元素顺序不符")
        yield broken(
            "RequestHeader", RuleKind.FRAME, " ".join(written), words, _HEADER_ROW, _SCHEMA, reconstructed=True
        )


# ---- the ApplicationRequest ---------------------------------------------------------------------------------

_ELEMENTS: Final = (
    "CustomerId",
    "Command",
    "Timestamp",
    "StartDate",
    "EndDate",
    "Status",
    "ServiceId",
    "Environment",
    "FileReferences",
    "UserFilename",
    "TargetId",
    "ExecutionSerial",
    "Encryption",
    "EncryptionMethod",
    "Compression",
    "CompressionMethod",
    "AmountTotal",
    "TransactionCount",
    "SoftwareId",
    "CustomerExtension",
    "FileType",
    "Content",
    "Signature",
)
"""The elements in the order of the schema."""
_SCHEMA_FIELDS: Final = (
    _field("CustomerId", chars(16), needed=True),
    _field("Command", chars(32), needed=True),
    _field("Command", one_of(*COMMANDS.values()), answer=refusal("05")),
    _field("Timestamp", _STAMP, needed=True),
    _field("StartDate", day),
    _field("EndDate", day),
    _field("Status", one_of("NEW", "DLD", "ALL")),
    _field("ServiceId", chars(256), guessed=True),
    _field("Environment", one_of("PRODUCTION", "TEST"), needed=True),
    _field("UserFilename", chars(80)),
    _field("TargetId", chars(80)),
    _field("ExecutionSerial", chars(32)),
    _field("Encryption", _TRUTH),
    _field("EncryptionMethod", chars(35), guessed=True),
    _field("Compression", _TRUTH),
    _field("CompressionMethod", one_of("GZIP")),
    _field("AmountTotal", _DOUBLE),
    _field("TransactionCount", digits(1, 19)),
    _field("SoftwareId", chars(80), needed=True),
)
_SIGNATURES: Final = RowsRule("Signature", (), SIGNER_ROW, 1, 3, NOT_SIGNED)
_TYPE: Final = _field("FileType", chars(40))
_CONTENT: Final = _field("Content", base64_text)
_TYPE_NEEDED: Final = FieldRule("FileType", anything, "README.md 3, the five operations", True, _PARAMETERS)
_CONTENT_NEEDED: Final = FieldRule("Content", anything, "README.md 3, uploadFile", True, _PARAMETERS)
_ONE_FILE: Final = RowsRule(
    "FileReferences/FileReference",
    (_field("", chars(32), needed=True, answer=_PARAMETERS, guessed=True),),
    "README.md 3: a file is fetched or deleted by its FileReference",
    1,
    1,
    _PARAMETERS,
    reconstructed=True,
)


def _packed(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    if value(fields, "Compression") in ("true", "1") and not value(fields, "CompressionMethod"):
        return FieldContradiction(
            "CompressionMethod", "", "is missing beside Compression true", "Compression 为 true 时必填"
        )
    return None


_TOGETHER: Final = (
    days_in_order("StartDate", "EndDate", _DOCUMENT_ROW, _PARAMETERS, reconstructed=True),
    TogetherRule(_packed, f"{_DOCUMENT_ROW}: CompressionMethod", refusal=_SCHEMA, reconstructed=True),
)


def _rules(operation: str, *needed: FieldRule | RowsRule) -> RequestRules:
    fields = (*_SCHEMA_FIELDS, _TYPE, _CONTENT, *needed, _SIGNATURES)
    return RequestRules(operation, _SCHEMA, fields, (_command_of(operation), *_TOGETHER))


def _command_of(operation: str) -> TogetherRule:
    """The command in the document must be that of the operation in the envelope."""

    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        stated = value(fields, "Command")
        if stated == COMMANDS[operation]:
            return None
        return FieldContradiction("Command", stated, f"is not the command of {operation}", f"与 {operation} 不符")

    return TogetherRule(check, "README.md 2, table: Command", refusal=refusal("06"))


RULES: Final[Mapping[str, RequestRules]] = {
    one.operation: one
    for one in (
        _rules("uploadFile", _TYPE_NEEDED, _CONTENT_NEEDED),
        _rules("downloadFileList", _TYPE_NEEDED),
        _rules("downloadFile", _TYPE_NEEDED, _ONE_FILE),
        _rules("deleteFile", _ONE_FILE),
        _rules("getUserInfo"),
    )
}
"""The rules of each operation's ApplicationRequest. What depends on the contract is added by `under_contract`."""


def under_contract(operation: str, customer: str, uploads: Sequence[str], *, sealed: bool) -> RequestRules:
    """The rules of an operation with those of one customer's contract: its CustomerId, and the types it may upload.

    `sealed`: the messages of this customer are encrypted. In a message that is not, Encryption must not be true.
    """
    rules = RULES[operation]

    def its_own(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        stated = value(fields, "CustomerId")
        if stated == customer:
            return None
        return FieldContradiction("CustomerId", stated, "is not this customer's number", "不是该客户的客户号")

    def agreed(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        stated = value(fields, "FileType")
        if operation != "uploadFile" or stated in uploads:
            return None
        words = (
            f"is none of the contract's types: {', '.join(uploads)}",
            f"不在合约的文件类型之中:{', '.join(uploads)}",
        )
        return FieldContradiction("FileType", stated, *words)

    def in_clear(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        stated = value(fields, "Encryption")
        if sealed or stated not in ("true", "1"):
            return None
        return FieldContradiction("Encryption", stated, "is said of a message that is not encrypted", "报文并未加密")

    contract = (
        TogetherRule(its_own, f"{_DOCUMENT_ROW}: CustomerId", RuleKind.BOOKS, refusal("10")),
        TogetherRule(agreed, "README.md 9: 20, type", RuleKind.CODE, refusal("20")),
        TogetherRule(in_clear, "README.md 9: 22, decrypt", refusal=refusal("22"), reconstructed=True),
    )
    return RequestRules(operation, rules.refusal, rules.fields, (*contract, *rules.together))


def document_findings(root: etree._Element) -> Iterator[RequestFinding]:
    """The faults in the elements of an ApplicationRequest: its name, unknown elements, another order."""
    if root.tag != f"{{{DATA}}}ApplicationRequest":
        words = ("is no ApplicationRequest of this service", "不是本服务的 ApplicationRequest")
        yield broken("ApplicationRequest", RuleKind.FRAME, str(root.tag), words, _DOCUMENT_ROW, _SCHEMA)
        return
    names = []
    for child in root:
        name = etree.QName(child).localname
        space = DSIG if name == "Signature" else DATA
        if child.tag != f"{{{space}}}{name}" or name not in _ELEMENTS:
            words = ("is no element of the schema", "不是 schema 规定的元素")
            yield broken(f"ApplicationRequest/{name}", RuleKind.FRAME, str(child.tag), words, _DOCUMENT_ROW, _SCHEMA)
            return
        if len(child) and name not in ("FileReferences", "CustomerExtension", "Signature"):
            words = ("holds elements where text is due", "应为文本，却含有子元素")
            yield broken(f"ApplicationRequest/{name}", RuleKind.FRAME, "", words, _DOCUMENT_ROW, _SCHEMA)
            return
        names.append(name)
    if names != sorted(names, key=_ELEMENTS.index):
        late = next(two for one, two in zip(names, names[1:], strict=False) if _after(one, two))
        words = ("stands after an element that must follow it", "元素顺序不符")
        yield broken(f"ApplicationRequest/{late}", RuleKind.FRAME, " ".join(names), words, _DOCUMENT_ROW, _SCHEMA)


def _after(one: str, two: str) -> bool:
    return _ELEMENTS.index(one) > _ELEMENTS.index(two)


def repeated(place: str, shown: str, source: str, code: str) -> RequestFinding:
    """A number or time of an earlier message in a message with other bytes."""
    words = ("stood in another message before", "已在另一报文中使用过")
    return broken(place, RuleKind.TOGETHER, shown, words, source, refusal(code))


def placed(prefix: str, found: Iterable[RequestFinding]) -> list[RequestFinding]:
    """The findings with `prefix` before their places."""
    return [
        RequestFinding(
            f"{prefix}{one.place}", one.rule, one.value, one.words, one.source, one.refusal, one.reconstructed
        )
        for one in found
    ]
