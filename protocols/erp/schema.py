"""The committed contract: every schema, example and reference page, generated from the code.

    python -m protocols.erp.schema --write docs/lookup/contract

A test compares the committed files with what this makes, so neither can change alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lxml import etree

from protocols.erp import asyncapi, examples, json_schema, reference, replies, xml_form, xsd
from protocols.erp.messages import MESSAGES, MessageWay

CONTRACT_VERSION = "1.5"
"""Of the contract, not of the program. A change an ERP could notice raises it."""


def files() -> dict[str, bytes]:
    """Every generated file by its path below docs/lookup/contract."""
    shown: dict[str, Mapping[str, Any]] = {**examples.commands(), **examples.replies(), **examples.events()}
    made = {f"schema/{name}.json": _json(json_schema.schema(message)) for name, message in MESSAGES.items()}
    made.update({f"examples/{name}.json": _json(body) for name, body in shown.items()})
    for name, body in shown.items():
        made[f"examples/{name}.xml"] = _xml(name.partition("+")[0], body)
    made["bankgw-1.xsd"] = xsd.xsd()
    made["asyncapi.json"] = _json(asyncapi.document(CONTRACT_VERSION, shown))
    order = made["examples/payment.submit.xml"].decode()
    made["index.md"] = reference.index("en", shown, order).encode()
    made["index.zh.md"] = reference.index("zh", shown, order).encode()
    made["states.md"] = reference.states("en").encode()
    made["states.zh.md"] = reference.states("zh").encode()
    return made


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode() + b"\n"


def _xml(name: str, body: Mapping[str, Any]) -> bytes:
    message = MESSAGES[name]
    if message.voice is MessageWay.COMMAND:
        tree = etree.fromstring(xml_form.xml_document(name, body, message.form))
    else:
        tree = etree.fromstring(replies.reply_body(name, body, "application/xml"))
    etree.indent(tree, space=" ")
    return etree.tostring(tree, encoding="UTF-8", xml_declaration=True) + b"\n"


def write_schema(folder: Path) -> list[str]:
    """Write every file below `folder`; returns the paths that were new or different. Removes nothing."""
    changed = []
    for name, data in files().items():
        path = folder / name
        if path.exists() and path.read_bytes() == data:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        changed.append(name)
    return changed


def main() -> None:
    """The command `python -m protocols.erp.schema --write FOLDER`."""
    parser = argparse.ArgumentParser(description="Write the ERP contract: schemas, examples, reference pages.")
    parser.add_argument("--write", type=Path, required=True, metavar="FOLDER")
    changed = write_schema(parser.parse_args().write)
    print(f"{len(changed)} file(s) written: {', '.join(changed)}" if changed else "nothing has changed")


if __name__ == "__main__":
    main()
