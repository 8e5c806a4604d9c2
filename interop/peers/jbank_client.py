"""django-jbank as a customer of the simulated bank: reads a JSON table of requests, prints one of results.

It runs in the peers' environment and imports nothing of ours.

It writes the payment file (its own pain.001), signs and sends it, lists, fetches, asks for its rights, and reads the
status file with its own reader. The package has no client certificates for TLS, so the transport is told here.
"""

from __future__ import annotations

import base64
import functools
import json
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import django
from django.conf import settings


def main(wishes: dict[str, Any]) -> dict[str, Any]:
    """Carry out all requests."""
    folder = Path(wishes["folder"])
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "jbank.sqlite")}},
        INSTALLED_APPS=[
            *(f"django.contrib.{name}" for name in ("contenttypes", "auth", "admin")),
            "jutil",
            "jacc",
            "jbank",
        ],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
        MEDIA_ROOT=str(folder),
        XMLSEC1_PATH="xmlsec1",
        XMLSEC1_EXAMPLES_PATH=wishes["tools"],
        OPENSSL_PATH="openssl",
        USE_TZ=True,
        TIME_ZONE="Europe/Helsinki",
        SECRET_KEY="interop",
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    )
    django.setup()
    from django.db import connection as database
    from jbank import wsedi
    from jbank.models import WsEdiConnection, WsEdiSoapCall

    # Its migrations need PostgreSQL; these requests need only these two of its tables.
    with database.schema_editor() as editor:
        editor.create_model(WsEdiConnection)
        editor.create_model(WsEdiSoapCall)
    wsedi.requests.post = functools.partial(
        wsedi.requests.post, cert=(wishes["tls_cert"], wishes["tls_key"]), verify=wishes["tls_ca"]
    )
    connection = WsEdiConnection.objects.create(
        name="interop",
        sender_identifier=wishes["customer"],
        receiver_identifier=wishes["bic"],
        target_identifier="NONE",
        environment="TEST",
        soap_endpoint=wishes["url"],
        use_sha256=True,
        signing_cert_file=wishes["sign_cert"],
        signing_key_file=wishes["sign_key"],
        use_wsse_timestamp=True,
    )
    return _visit(connection, wishes, _payment_file(wishes))


def _payment_file(wishes: dict[str, Any]) -> bytes:
    from jbank.sepa import PAIN001_REMITTANCE_INFO_MSG, Pain001

    message, bic, today = wishes["message"], wishes["bic"], datetime.now(UTC).date()
    paper = Pain001(message, "Example Oy", wishes["debtor"], bic, "00000017", ["Esimerkkikatu 1"], "FI")
    paper.add_payment(
        message,
        "Example Ab",
        wishes["creditor"],
        bic,
        Decimal(wishes["amount"]),
        "invoice 0931",
        PAIN001_REMITTANCE_INFO_MSG,
        today,
        wishes["reference"],
    )
    found = paper.render_to_bytes()
    assert isinstance(found, bytes)
    return found


def _visit(connection: Any, wishes: dict[str, Any], payment: bytes) -> dict[str, Any]:
    from jbank.sepa import Pain002
    from jbank.wsedi import wsedi_execute
    from jutil.xml import xml_to_dict

    def ask(command: str, **more: str) -> dict[str, Any]:
        answer = wsedi_execute(connection, command, **more)
        found: dict[str, Any] = xml_to_dict(answer, array_tags=["FileDescriptor", "UserFileType"])
        return found

    told: dict[str, Any] = {"payment": payment.decode()}
    upload = ask("UploadFile", file_type="pain.001.001.03", file_content=payment.decode())
    told["upload"] = [upload["ResponseCode"], upload["FileDescriptors"]["FileDescriptor"][0]["FileReference"]]
    told["files"] = {}
    for kind in wishes["kinds"]:
        listed = ask("DownloadFileList", file_type=kind, status="ALL")
        rows = (listed.get("FileDescriptors") or {}).get("FileDescriptor", [])
        told["files"][kind] = [[row["FileReference"], row.get("ParentFileReference", "")] for row in rows]
    told["contents"] = {}
    for kind in wishes["kinds"]:
        for reference, _ in told["files"][kind]:
            got = ask("DownloadFile", file_type=kind, file_reference=reference)
            told["contents"][reference] = [got["ResponseCode"], got["Content"]]
    [status] = [reference for reference, _ in told["files"]["pain.002.001.03"]]
    read = Pain002(base64.b64decode(told["contents"][status][1]))
    told["status"] = [
        read.original_msg_id,
        read.group_status,
        [[one.original_end_to_end_id, one.group_status] for one in read.payment_states if one.original_end_to_end_id],
    ]
    info = ask("GetUserInfo")
    told["rights"] = [[row["FileType"], row.get("Direction", "")] for row in info["UserFileTypes"]["UserFileType"]]
    told["unchanged_twice"] = ask("DownloadFileList", file_type="pain.001.001.03")["ResponseCode"]
    return told


print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
