"""The committed contract is the generated one, and schema, XSD, `read` and examples agree."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from lxml import etree

from protocols.canon.errors import CODES, FIELD_CODES, Refusal
from protocols.canon.outcome import STATE_TABLE
from protocols.erp import examples, json_schema, schema
from protocols.erp.commands import parse_command
from protocols.erp.messages import MESSAGES, MessageWay
from protocols.erp.words import CommandType
from tests.protocols.erp.orders import BODY, bodies, changed

CONTRACT = Path(__file__).parents[3] / "docs" / "lookup" / "contract"
SHOWN = {**examples.commands(), **examples.replies(), **examples.events()}
VALIDATORS = {
    name: jsonschema_rs.Draft202012Validator(json_schema.schema(message), validate_formats=True)
    for name, message in MESSAGES.items()
}


def test_the_committed_files_are_the_ones_the_code_makes() -> None:
    made = schema.files()
    there = {str(path.relative_to(CONTRACT)) for path in CONTRACT.rglob("*") if path.is_file()}
    advice = "run: python -m protocols.erp.schema --write docs/lookup/contract"
    assert there == set(made), advice
    differing = [name for name, data in made.items() if (CONTRACT / name).read_bytes() != data]
    assert not differing, advice


def test_writing_twice_changes_nothing(tmp_path: Path) -> None:
    assert sorted(schema.write_schema(tmp_path)) == sorted(schema.files())
    assert schema.write_schema(tmp_path) == []
    (tmp_path / "index.md").write_text("changed by hand")
    assert schema.write_schema(tmp_path) == ["index.md"]


@pytest.mark.parametrize("name", MESSAGES)
def test_each_schema_is_a_schema(name: str) -> None:
    made = json_schema.schema(MESSAGES[name])
    jsonschema_rs.meta.validate(made)
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    closed = made.get("additionalProperties") is False
    assert closed is (MESSAGES[name].voice is MessageWay.COMMAND)


@pytest.mark.parametrize("name", MESSAGES)
def test_each_pattern_is_about_the_whole_value(name: str) -> None:
    """A pattern in JSON Schema may match anywhere in a value, but `read` and the XSD match the whole value."""

    def patterns(part: object) -> Iterator[str]:
        if isinstance(part, dict):
            yield from (value for key, value in part.items() if key == "pattern" and isinstance(value, str))
        for one in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
            yield from patterns(one)

    open_ended = [one for one in patterns(json_schema.schema(MESSAGES[name])) if not re.fullmatch(r"\^.*\$", one)]
    assert not open_ended


@pytest.mark.parametrize("name", SHOWN)
def test_each_example_is_valid(name: str) -> None:
    body = json.loads((CONTRACT / "examples" / f"{name}.json").read_bytes())
    VALIDATORS[name.partition("+")[0]].validate(body)


def test_each_message_has_an_example() -> None:
    assert {name.partition("+")[0] for name in SHOWN} == set(MESSAGES)


@pytest.mark.parametrize("path", sorted((CONTRACT / "examples").glob("*.xml")), ids=lambda path: path.name)
def test_each_xml_example_is_valid_and_the_same_as_its_json(path: Path) -> None:
    xsd = etree.XMLSchema(etree.fromstring((CONTRACT / "bankgw-1.xsd").read_bytes()))
    assert xsd.validate(etree.fromstring(path.read_bytes())), xsd.error_log
    name = path.stem.partition("+")[0]
    if MESSAGES[name].voice is not MessageWay.COMMAND:
        return
    type_ = CommandType(name)
    got = parse_command(type_, "application/xml", path.read_bytes())
    assert not isinstance(got, Refusal), got
    assert got == parse_command(type_, "application/json", path.with_suffix(".json").read_bytes())


@given(bodies())
def test_what_is_read_is_valid(body: dict[str, Any]) -> None:
    VALIDATORS["payment.submit"].validate(body)
    VALIDATORS["payment.submit"].validate({"not_before": None, "tags": None, "purpose": None} | body)


@pytest.mark.parametrize(
    "body",
    [
        changed(amount=12345.67),
        changed(amount="1e3"),
        changed(id="a b"),
        changed(id="x" * 65),
        changed(currency="cny"),
        changed(colour="red"),
        changed(purpose="a\tb"),
        changed(purpose=" a"),
        changed(purpose="x" * 201),
        changed(debtor=...),
        changed(debtor={"account": "1", "name": ""}),
        changed(valid_until="2026-11-24"),
        changed(valid_until="2026-11-24T17:00:00"),
        changed(urgency="fast"),
        changed(tags={"a b": "x"}),
        changed(tags={"a": 1}),
        changed(tags={f"t{n}": "" for n in range(21)}),
        changed(amount=None),
        [],
        "x",
        changed(creditor={"account": "1", "name": "a\u202eb"}),
        changed(creditor={"account": "1", "name": "a", "cnaps": "1"}),
    ],
)
def test_schema_and_read_refuse_the_same(body: Any) -> None:
    assert not VALIDATORS["payment.submit"].is_valid(body)
    assert isinstance(parse_command(CommandType.PAYMENT_SUBMIT, None, json.dumps(body).encode()), Refusal)


def test_status_query_wants_one_of_two() -> None:
    key = "01KA5V3Q8ZJ4M2N7R9T6W0XYBC"
    valid = VALIDATORS["status.query"].is_valid
    assert valid({"id": "A"})
    assert valid({"payment": key, "id": None})
    assert not valid({})
    assert not valid({"id": "A", "payment": key})


def test_what_is_told_may_grow_but_not_lie() -> None:
    settled = SHOWN["payment.settled"]
    valid = VALIDATORS["payment.settled"].is_valid
    assert valid(settled | {"new_field": 1})
    for name, wrong in (
        ("state", "failed"),
        ("event", "payment.failed"),
        ("final", False),
        ("iso", "RJCT"),
        ("seq", "3"),
        ("fee", "5.00"),
        ("bank_serial", None),
    ):
        assert not valid(settled | {name: wrong}), name


def test_every_reference_in_the_asyncapi_document_leads_somewhere() -> None:
    document = json.loads((CONTRACT / "asyncapi.json").read_bytes())
    found = re.findall(r'"\$ref": "([^"]+)"', (CONTRACT / "asyncapi.json").read_text("utf-8"))
    assert len(found) > 60
    for ref in found:
        if ref.startswith("#/"):
            node: Any = document
            for step in ref[2:].split("/"):
                node = node[step]
        else:
            assert (CONTRACT / ref).is_file(), ref
    receives = {name for name, operation in document["operations"].items() if operation["action"] == "receive"}
    assert receives == {f"receive {type_.value}" for type_ in CommandType}


def test_the_asyncapi_document_names_the_virtual_host_that_is_exported() -> None:
    document = json.loads((CONTRACT / "asyncapi.json").read_bytes())
    bindings = [one["bindings"]["amqp"]["exchange"] for one in document["channels"].values() if "bindings" in one]
    assert bindings and {one["vhost"] for one in bindings} == {"bankgw"}


@pytest.mark.parametrize("language", ["", ".zh"])
def test_the_tables_say_which_list_a_value_is_of(language: str) -> None:
    index = (CONTRACT / f"index{language}.md").read_text("utf-8")
    rows = [line.split("|")[1:3] for line in index.splitlines() if line.startswith("| `")]
    lists = {
        "(#commands)": r" `command` ",
        "(#field-codes)": r" `(.*\.)?errors\[\]\.code` ",
        "(#error-codes)": r" `.*code` ",
    }
    for target, name in lists.items():
        named = [field for field, type_ in rows if target in type_]
        assert named and all(re.fullmatch(name, field) for field in named), target
    # The schema shows whether a place has error codes or field codes.
    assert not any("(#error-codes)" in type_ for field, type_ in rows if "error.errors[].code" in field)
    for anchor in ("field-codes", *(["commands", "error-codes"] if language else [])):
        assert f'<a id="{anchor}"></a>' in index


@pytest.mark.parametrize("language", ["", ".zh"])
def test_the_fields_of_payment_news_are_those_of_no_single_message(language: str) -> None:
    news = (CONTRACT / f"index{language}.md").read_text("utf-8").partition('<a id="news"></a>')[2]
    [row] = [line for line in news.partition("\n## ")[0].splitlines() if line.startswith("| `event` |")]
    assert row.split("|")[2].strip() == "string" and "`payment.accepted` |" in row
    [row] = [line for line in news.splitlines() if line.startswith("| `hold_reason` |")]
    for reason in ("approval", "new_payee", "suspected_duplicate", "cannot_be_prepared"):
        assert reason in row


@pytest.mark.parametrize("language", ["", ".zh"])
def test_the_pages_list_everything(language: str) -> None:
    index = (CONTRACT / f"index{language}.md").read_text("utf-8")
    states = (CONTRACT / f"states{language}.md").read_text("utf-8")
    for code, facts in CODES.items():
        told = next(
            line for line in index.splitlines() if line.startswith(f"| `{code.value}` | `{facts.resend.value}`")
        )
        assert facts.recorded is None or told.split(" | ")[1].endswith(f"`{facts.recorded.value}`")
        assert facts.recorded is not None or told.startswith(f"| `{code.value}` | `{facts.resend.value}` |")
    for field_code in FIELD_CODES:
        assert f"| `{field_code.value}` |" in index
    for name in MESSAGES:
        assert f"`{name}`" in index
    for message in MESSAGES.values():
        for field, said in message.form.model_fields.items():
            assert f"`{said.alias or field}`" in index
    for state, row in STATE_TABLE.items():
        assert f"| `{state.value}` |" in states
        assert (row.erp_does_zh if language else row.erp_does) in states
    links = re.findall(r"\]\(([^)#]+)\)", index + states)
    for link in links:
        assert (CONTRACT / link).exists(), link


def test_the_contracts_own_example_is_the_one_shown() -> None:
    assert json.loads((CONTRACT / "examples" / "payment.submit.json").read_bytes()) == BODY
