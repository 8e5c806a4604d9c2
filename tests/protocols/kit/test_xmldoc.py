"""The XML that the parser must refuse, the mistakes that the readers must notice, the text that the builder must
escape.
"""

from __future__ import annotations

import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from protocols.kit.charset import GB2312, GB18030, GBK, UTF8, Charset, Unencodable
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import (
    ChildTexts,
    Markup,
    amount_minor,
    build,
    cdata,
    digits,
    el,
    escaped,
    first_of,
    leaf,
    leaves,
    maybe,
    one,
    parse,
    parse_root,
    several,
    text,
    value,
    value_or,
)

LOL = "".join(f'<!ENTITY l{i + 1} "{f"&l{i};" * 10}">' for i in range(9))


def many(attribute: str, count: int) -> str:
    return "<a " + " ".join(attribute.format(number) for number in range(count)) + "/>"


ATTACKS: dict[str, tuple[str | bytes, str]] = {
    "1 xxe file": ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "doctype"),
    "2 xxe http": ('<!DOCTYPE a [<!ENTITY x SYSTEM "http://127.0.0.1:1/">]><a>&x;</a>', "doctype"),
    "3 parameter entity": ('<!DOCTYPE a [<!ENTITY % x SYSTEM "file:///dev/zero"> %x;]><a/>', "doctype"),
    "4 external dtd": ('<!DOCTYPE a SYSTEM "http://127.0.0.1:1/a.dtd"><a/>', "doctype"),
    "8 stylesheet": ('<?xml-stylesheet href="http://127.0.0.1:1/"?><a/>', "instruction"),
    "8b stylesheet after the declaration": ('<?xml version="1.0"?><?xml-stylesheet href="x"?><a/>', "instruction"),
    "9 billion laughs": (f'<!DOCTYPE a [<!ENTITY l0 "lol">{LOL}]><a>&l9;</a>', "doctype"),
    "10 quadratic": (f'<!DOCTYPE a [<!ENTITY b "{"b" * 50_000}">]><a>{"&b;" * 5_000}</a>', "doctype"),
    "12 recursive": ('<!DOCTYPE a [<!ENTITY x "&y;"><!ENTITY y "&x;">]><a>&x;</a>', "doctype"),
    "13 entity": ('<!DOCTYPE a [<!ENTITY x "1">]><a>&x;00</a>', "doctype"),
    "13b undeclared entity": ("<a>&x;</a>", "not_xml"),
    "14 attlist": ('<!DOCTYPE a [<!ATTLIST a Id ID "x">]><a/>', "doctype"),
    "doctype in lower case": ("<!doctype a><a/>", "doctype"),
    "doctype inside": ("<a><!DOCTYPE a></a>", "doctype"),
    "doctype behind": ("<a/><!DOCTYPE a>", "doctype"),
    "16 depth 300, the parser's own limit": ("<a>" * 300 + "</a>" * 300, "not_xml"),
    "16b depth 33": ("<a>" * 33 + "</a>" * 33, "xml_limits"),
    "17 depth 100 000": ("<a>" * 100_000 + "</a>" * 100_000, "xml_limits"),
    "18 text 11 MB": (f"<a>{'x' * 11_000_000}</a>", "frame_too_long"),
    "19 attribute 11 MB": (f'<a b="{"x" * 11_000_000}"/>', "frame_too_long"),
    "19b attribute 20 KB": (f'<a b="{"x" * 20_000}"/>', "xml_limits"),
    "19c attribute 20 KB with a blind": (f'<a c=">" b="{"x" * 20_000}"/>', "xml_limits"),
    "20 50 000 attributes": (many("a{}='1'", 50_000), "xml_limits"),
    "20b 33 attributes": (many("a{}='1'", 33), "xml_limits"),
    "21 20 000 namespaces": (many("xmlns:n{0}='u:{0}'", 20_000), "xml_limits"),
    "21b 33 namespaces": (many("xmlns:n{0}='u:{0}'", 33), "xml_limits"),
    "22 500 000 siblings": (f"<a>{'<b/>' * 200_000}</a>", "xml_limits"),
    "23 a compressed document": (zlib.compress(b"<a/>" * 100), "charset"),
    "23b gzip": (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", "charset"),
    "24 utf-7": ('<?xml version="1.0" encoding="UTF-7"?>+ADw-a/>', "charset"),
    "25 utf-16 with a mark": ("<a/>".encode("utf-16"), "charset"),
    "25b utf-16 without": ("<a/>".encode("utf-16-le"), "not_xml"),
    "26 declares utf-8, is gbk": ('<?xml version="1.0" encoding="UTF-8"?><a>货</a>'.encode("gbk"), "charset"),
    "27 byte order mark": (b"\xef\xbb\xbf<a/>", "charset"),
    "27b declares another family": ('<?xml version="1.0" encoding="GBK"?><a/>', "charset"),
    "28 overlong": (b"<a>\xc0\xbc</a>", "charset"),
    "29 nul": (b"<a>\x00</a>", "not_xml"),
    "29b nul by reference": ("<a>&#0;</a>", "not_xml"),
    "30 control": ("<a>\x01</a>", "not_xml"),
    "30b surrogate by reference": ("<a>&#xD800;</a>", "not_xml"),
    "31 xml 1.1": ('<?xml version="1.1"?><a/>', "instruction"),
    "31b odd declaration": ('<?xml version="1.0" encoding="UTF-8" x="y"?><a/>', "instruction"),
    "31c declaration inside": ('<a><?xml version="1.0"?></a>', "instruction"),
    "32 trailing garbage": ("<a/>garbage", "not_xml"),
    "33 two roots": ("<a/><a/>", "not_xml"),
    "36 comment": ("<a>1<!-- -->00</a>", "comment"),
    "36b comment before": ("<!-- --><a/>", "comment"),
    "36c comment behind": ("<a/><!-- -->", "comment"),
    "36d comment hidden by cdata marks": ("<a><!-- <![CDATA[ --> <!-- ]]> --></a>", "comment"),
    "36e doctype hidden by cdata marks": ("<a><?x <![CDATA[ ?><!DOCTYPE a> <?x ]]> ?></a>", "instruction"),
    "instruction inside": ("<a>1<?x y?>00</a>", "instruction"),
    "nothing": ("", "not_xml"),
    "blanks": ("  \r\n", "not_xml"),
    "prefix of no namespace": ("<x:a/>", "not_xml"),
    "attribute twice": ('<a b="1" b="2"/>', "not_xml"),
    "attribute twice by namespace": ('<a xmlns:p="u" xmlns:q="u" p:b="1" q:b="2"/>', "not_xml"),
    "not xml at all": ("errorCode=40418", "not_xml"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_refused_for_the_right_reason_and_quickly(name: str) -> None:
    document, reason = ATTACKS[name]
    data = document if isinstance(document, bytes) else document.encode()
    begun = time.process_time()
    with pytest.raises(ProtocolError) as caught:
        parse(data, UTF8)
    assert caught.value.reason == reason, caught.value
    assert time.process_time() - begun < 0.3


@pytest.mark.parametrize(
    "document",
    [
        '<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="file:///etc/passwd" parse="text"/></a>',
        '<a xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="u http://127.0.0.1:1/"/>',
        '<a xmlns:x="http://www.w3.org/2001/XMLSchema-instance" x:noNamespaceSchemaLocation="file:///dev/zero"/>',
    ],
    ids=["7 xinclude", "5 schemaLocation", "6 noNamespaceSchemaLocation"],
)
def test_what_points_elsewhere_is_left_alone(document: str) -> None:
    root = parse(document.encode(), UTF8)
    assert "root:" not in "".join(root.itertext())


@given(st.binary(max_size=60), st.sampled_from([GBK, UTF8]))
def test_garbage_is_refused_and_nothing_worse(data: bytes, charset: Charset) -> None:
    for wrapped in (data, b"<a>" + data + b"</a>", b"<a b='" + data + b"'/>", b"<?xml " + data):
        try:
            parse(wrapped, charset)
        except ProtocolError:
            pass


def test_34_cut_at_every_byte() -> None:
    data = build(el("a", el("b", "货款", c="d"), el("e", "1.00")), UTF8)
    for at in range(len(data)):
        with pytest.raises(ProtocolError):
            parse(data[:at], UTF8)
    assert value(parse(data, UTF8), "b") == "货款"


def test_the_limits_are_the_callers() -> None:
    deep = b"<a>" * 5 + b"</a>" * 5
    parse(deep, UTF8, max_depth=5)
    with pytest.raises(ProtocolError, match="xml_limits"):
        parse(deep, UTF8, max_depth=4)
    parse(deep, UTF8, max_nodes=5)
    with pytest.raises(ProtocolError, match="xml_limits"):
        parse(deep, UTF8, max_nodes=4)
    empty = b"<a>" + b"<b/>" * 5 + b"</a>"
    parse(empty, UTF8, max_nodes=6)
    with pytest.raises(ProtocolError, match="xml_limits"):
        parse(empty, UTF8, max_nodes=5)
    wide = b"<a><b c='1' d='2' e='3'/></a>"
    parse(wide, UTF8, max_attributes=3)
    with pytest.raises(ProtocolError, match="xml_limits"):
        parse(wide, UTF8, max_attributes=2)
    many = b"<a>" + b"<b c='1' d = \"2\" e='x'/>" * 4 + b"</a>"
    parse(many, UTF8, max_nodes=6)
    with pytest.raises(ProtocolError, match="more than 10 attributes"):
        parse(many, UTF8, max_nodes=5)
    parse(b"<a>" + b"=" * 100 + b"</a>", UTF8, max_nodes=5)
    parse(wide, UTF8, max_bytes=len(wide))
    with pytest.raises(ProtocolError, match="frame_too_long"):
        parse(wide, UTF8, max_bytes=len(wide) - 1)


@pytest.mark.parametrize(
    "declaration",
    [
        "",
        '<?xml version="1.0" encoding="GBK"?>',
        "<?xml version='1.0' encoding='gb2312' ?>",
        '<?xml version="1.0"  encoding = "GB18030" standalone="yes" ?>\r\n',
        '\r\n <?xml version="1.0"?>',
        " \n",
    ],
)
@pytest.mark.parametrize("charset", [GBK, GB2312, GB18030])
def test_declarations_seen_in_the_field_and_the_gb_family(declaration: str, charset: Charset) -> None:
    root = parse(f"{declaration}<a>麤𠮷</a>\n".encode("gb18030"), charset)
    assert text(root) == "麤𠮷"


def test_a_payload_in_cdata_may_look_like_markup() -> None:
    inner = '<?xml version="1.0"?><!-- x --><b c="&">1</b>'
    assert text(parse(f"<a><![CDATA[{inner}]]></a>".encode(), UTF8)) == inner
    assert amount_minor(value(parse(b"<a><b>1<![CDATA[0]]>0.00</b></a>", UTF8), "b")) == 10_000


def test_a_long_text_is_not_a_long_tag() -> None:
    content = "x" * 200_000 + "'\" "
    assert text(parse(f'<a b="c">{content}</a>'.encode(), UTF8)) == content


def test_errors_of_the_parser_do_not_tell_accounts() -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(b"<a><x0000020200001234567></a>", UTF8)
    assert "0000020200001234567" not in str(caught.value)


ROOT = parse(
    b'<m xmlns="u" xmlns:p="v"><h><op> 4001\n</op><op2/></h><p:h>other</p:h>'
    b"<rows><row>1</row><row>2</row></rows>"
    b"<twice>1</twice><twice>2</twice><deep>1<x>00</x></deep><e xmlns=''>bare</e></m>",
    UTF8,
)


def test_readers_are_exact_in_namespace() -> None:
    assert value(ROOT, "{u}h/{u}op") == "4001"
    assert text(one(ROOT, "{u}h/{u}op")) == " 4001\n"
    assert value(ROOT, "{v}h") == "other"
    assert value(ROOT, "e") == "bare"
    for wrong in ("h", "{v}rows", "{u}e", "{u}h/op"):
        assert maybe(ROOT, wrong) is None
        with pytest.raises(ProtocolError, match="missing"):
            one(ROOT, wrong)
    assert value_or(ROOT, "{u}none", "-") == "-"
    assert value_or(ROOT, "{u}h/{u}op2", "-") == ""


def test_readers_notice_twins_anywhere_on_the_path() -> None:
    for path in ("{u}twice", "{u}rows/{u}row", "{u}twice/{u}x"):
        for reader in (one, maybe, value, value_or):
            with pytest.raises(ProtocolError, match="ambiguous"):
                reader(ROOT, path)
    assert [text(row) for row in several(ROOT, "{u}rows/{u}row")] == ["1", "2"]
    assert several(ROOT, "{u}none/{u}row") == []
    with pytest.raises(ProtocolError, match="ambiguous"):
        several(ROOT, "{u}twice/{u}row")


def test_text_of_children_is_not_ones_own() -> None:
    with pytest.raises(ProtocolError, match="value"):
        value(ROOT, "{u}deep")


def test_first_of_several_spellings() -> None:
    found = first_of(ROOT, "{u}nothing", "{u}h/{u}op", "e")
    assert found is not None
    assert text(found).strip() == "4001"
    assert first_of(ROOT, "x", "y") is None


def test_leaves_say_what_value_says() -> None:
    parent = parse(b"<a x='1'><b> 1\n</b><c/><d>x<e/></d><f>1</f><f>2</f><g><![CDATA[ <2> ]]>&#x33;</g></a>", UTF8)
    leaves = ChildTexts(parent)
    assert len(leaves) == len(parent)
    for name in ("b", "c", "g"):
        assert leaves.value(name) == value(parent, name)
    for name, reason in (("d", "value"), ("f", "ambiguous"), ("z", "missing")):
        with pytest.raises(ProtocolError, match=reason):
            leaves.value(name)


def test_paths_are_element_names_only() -> None:
    for wrong in ("", "a//b", "a/", "{u}", "a[1]/"):
        with pytest.raises(AssertionError):
            one(ROOT, wrong)


def test_37_38_39_amounts_and_counts() -> None:
    for wrong in ("１００", "١٠٠", "1e5", "-0", "+1", "NaN", "9" * 10_000):
        with pytest.raises(ProtocolError, match="value"):
            amount_minor(value(parse(f"<a><b>{wrong}</b></a>".encode(), UTF8), "b"))
        with pytest.raises(ProtocolError, match="value"):
            digits(wrong)


def test_building() -> None:
    rows = [el("row", str(n)) for n in (1, 2)]
    document = el("s:m", {"xmlns:s": "u&v", "s:Id": 'a"<\n'}, None, "a<&>\r", rows, el("e"), b="c")
    assert document == (
        '<s:m b="c" xmlns:s="u&amp;v" s:Id="a&quot;&lt;&#10;">a&lt;&amp;&gt;&#xD;<row>1</row><row>2</row><e></e></s:m>'
    )
    assert build(document, GBK).startswith(b'<?xml version="1.0" encoding="GBK"?><s:m ')
    assert build(el("a"), GBK, declaration="") == b"<a></a>"
    assert build(el("a"), GBK, declaration="<?xml version='1.0'?>\n") == b"<?xml version='1.0'?>\n<a></a>"
    root = parse(build(document, GBK), GBK)
    assert root.get("{u&v}Id") == 'a"<\n'
    assert root.text == "a<&>\r"


@given(st.text(st.characters(codec="utf-8"), max_size=40), st.text(st.characters(codec="utf-8"), max_size=40))
def test_whatever_is_built_reads_back_or_is_refused(content: str, attribute: str) -> None:
    try:
        data = build(el("a", el("b", content, c=attribute), escaped(content)), UTF8)
    except ProtocolError:
        with pytest.raises(ValueError):
            etree.Element("a").text = content + attribute
        return
    root = parse(data, UTF8)
    assert text(one(root, "b")) == content
    assert one(root, "b").get("c") == attribute
    assert (one(root, "b").tail or "") == content


def test_what_cannot_be_written() -> None:
    with pytest.raises(Unencodable):
        build(el("a", "王䶮"), GBK)
    for char in ("\x00", "\x0b", "\ufffe", "\ud800"):
        for make in (lambda c: el("a", c), lambda c: el("a", b=c), cdata, escaped):
            with pytest.raises(ProtocolError, match="value"):
                make(char)
    with pytest.raises(ProtocolError, match="value"):
        cdata("a]]>b")
    assert cdata("a<&>b") == "<![CDATA[a<&>b]]>"
    assert el("a", Markup("<b/>")) == "<a><b/></a>"


def test_namespace_declarations_of_a_document_are_counted() -> None:
    """The count is by declaration, repeated ones included. The word in a text or a CDATA section does not count."""
    row = '<a xmlns:x="https://bank.example/1"/>'
    assert len(parse(f"<r>{row * 100}</r>".encode(), UTF8)) == 100
    assert parse(f"<r>{'<b>xmlns:x=</b>' * 200}<![CDATA[{row * 200}]]></r>".encode(), UTF8).tag == "r"
    for document in (f"<r>{row * 101}</r>", f"<r xmlns='https://bank.example/'>{row * 100}</r>"):
        with pytest.raises(ProtocolError, match="more than 100 namespace declarations") as caught:
            parse(document.encode(), UTF8)
        assert caught.value.reason == "xml_limits"
    assert len(parse(f"<r>{row * 101}</r>".encode(), UTF8, max_namespaces=101)) == 101


def test_leaves_name_the_place_in_the_field() -> None:
    assert leaves([("a", "<1>"), ("b", "")], GBK) == ["<a>&lt;1&gt;</a>", "<b></b>"]
    assert leaves([("a", "1"), ("b", "")], GBK, leaf) == ["<a>1</a>", "<b/>"]
    with pytest.raises(Unencodable) as caught:
        leaves([("a", "1" * 50), ("b", "中𬭎")], GBK)
    assert caught.value.position == 1


def test_the_root_is_the_expected_one() -> None:
    assert parse_root(b"<a/>", GBK, "a", max_bytes=99, max_nodes=9).tag == "a"
    with pytest.raises(ProtocolError) as caught:
        parse_root(b"<b/>", GBK, "a", max_bytes=99, max_nodes=9)
    assert caught.value.reason == "missing"
    with pytest.raises(ProtocolError):
        parse_root(b"<a/>", GBK, "a", max_bytes=3, max_nodes=9)
