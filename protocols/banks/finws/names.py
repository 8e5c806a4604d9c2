"""Namespaces and fixed words of the Finnish Web Services (README.md section 2)."""

from __future__ import annotations

from typing import Final

from protocols.kit.codes import OutcomeWord

SOAP: Final = "http://schemas.xmlsoap.org/soap/envelope/"
WSSE: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSU: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
X509_TOKEN: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509v3"
BASE64_TOKEN: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary"
SERVICE: Final = "http://bxd.fi/CorporateFileService"
MODEL: Final = "http://model.bxd.fi"
DATA: Final = "http://bxd.fi/xmldata/"

S: Final = f"{{{SOAP}}}"
D: Final = f"{{{DATA}}}"
M: Final = f"{{{MODEL}}}"
C: Final = f"{{{SERVICE}}}"
SECURITY: Final = f"{{{WSSE}}}Security"
ID: Final = f"{{{WSU}}}Id"

OPERATIONS: Final = ("uploadFile", "downloadFileList", "downloadFile", "deleteFile", "getUserInfo")
OUTCOMES: Final[tuple[OutcomeWord, ...]] = (
    "settled",
    "failed",
    "pending",
    "in_doubt",
    "duplicate",
    "returned",
    "reversed",
    "empty",
    "retry",
)
COMMANDS: Final = {
    "uploadFile": "UploadFile",
    "downloadFileList": "DownloadFileList",
    "downloadFile": "DownloadFile",
    "deleteFile": "DeleteFile",
    "getUserInfo": "GetUserInfo",
}
DONE: Final = "00"
NOTHING: Final = "24"
