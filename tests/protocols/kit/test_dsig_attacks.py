"""Forged, wrapped, bloated and downgraded signatures: both engines refuse all of them quickly.

Many are made with the bank's own key by xmlsec, so that only the structural gate stands between them and us;
a plain use of xmlsec accepts those, which proves that the forgery is a good one.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
import xmlsec
from cryptography.hazmat.primitives import hashes
from lxml import etree

from protocols.kit import dsig
from protocols.kit.dsig.verify import Engine
from protocols.kit.errors import ProtocolError
from tests.protocols.kit import signing
from tests.protocols.kit.signing import ENVELOPED, NS, SOAP, SOAP_SIGNED, WSSE, WSU, D, KeyPair, key_pair

verifying = sys.modules["protocols.kit.dsig.verify"]
ENGINES: Final[tuple[Engine, ...]] = ("xmlsec", "hand")
MORE: Final = "http://www.w3.org/2001/04/xmldsig-more#"
TRANSFORM_ENVELOPED: Final = f'<ds:Transform Algorithm="{dsig.ENVELOPED}"/>'
TRANSFORM_EXCLUSIVE: Final = f'<ds:Transform Algorithm="{dsig.EXC_C14N}"/>'


def reason_of(data: bytes, profile: dsig.SignatureProfile, *keys: dsig.PinnedKey) -> str:
    """The reason why `data` is refused: both engines must refuse, for the same reason, within half a second."""
    reasons = []
    for engine in ENGINES:
        begun = time.process_time()
        with pytest.raises(ProtocolError) as caught:
            dsig.verify(data, profile, keys, engine=engine)
        assert time.process_time() - begun < 0.5
        reasons.append(caught.value.reason)
    assert len(set(reasons)) == 1, reasons
    return reasons[0]


def edited(document: bytes, old: str, new: str, count: int = 1) -> bytes:
    assert old.encode() in document, f"the attack is void: {old} is not in the document"
    return document.replace(old.encode(), new.encode(), count)


def template(**parts: str) -> bytes:
    """A signature template in the enveloped language with some parts replaced, for `stock_signs`."""
    defaults = {
        "c14n": f'<ds:CanonicalizationMethod Algorithm="{dsig.EXC_C14N}"/>',
        "method": f'<ds:SignatureMethod Algorithm="{dsig.RSA_SHA256}"/>',
        "transforms": TRANSFORM_ENVELOPED + TRANSFORM_EXCLUSIVE,
        "digest": f'<ds:DigestMethod Algorithm="{dsig.SHA256}"/>',
        "uri": 'URI=""',
        "more": "",
        "object": "",
    }
    assert parts.keys() <= {*defaults, "reference", "note"}
    p = {**defaults, **parts}
    reference = p.get("reference") or (
        f"<ds:Reference {p['uri']}><ds:Transforms>{p['transforms']}</ds:Transforms>"
        f"{p['digest']}<ds:DigestValue/></ds:Reference>"
    )
    signature = (
        f'<ds:Signature xmlns:ds="{dsig.DS}"><ds:SignedInfo>{p["c14n"]}{p["method"]}{reference}{p["more"]}'
        f"</ds:SignedInfo><ds:SignatureValue/>{p['object']}</ds:Signature>"
    )
    return edited(signing.answer(), "</answer>", f"{signature}</answer>")


def reference(uri: str, transforms: str = TRANSFORM_EXCLUSIVE) -> str:
    return (
        f'<ds:Reference URI="{uri}"><ds:Transforms>{transforms}</ds:Transforms>'
        f'<ds:DigestMethod Algorithm="{dsig.SHA256}"/><ds:DigestValue/></ds:Reference>'
    )


def xpath(expression: str) -> str:
    return (
        f'<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116">'
        f"<ds:XPath>{expression}</ds:XPath></ds:Transform>"
    )


OBJECT: Final = '<ds:Object Id="o">harmless</ds:Object>'
PREFIXES: Final = '<ec:InclusiveNamespaces xmlns:ec="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="x"/>'
# name of the attack -> (template parts, expected reason)
BY_THE_BANKS_OWN_KEY: Final[dict[str, tuple[dict[str, str], str]]] = {
    "65 a thousand references": ({"more": reference("#o") * 1000, "object": OBJECT}, "structure"),
    "66 a second reference": ({"more": reference("#o"), "object": OBJECT}, "structure"),
    "67 reference to its own object only": ({"reference": reference("#o"), "object": OBJECT}, "structure"),
    "54 an object beside a good reference": ({"object": OBJECT}, "structure"),
    "72 xpointer to everything": ({"uri": 'URI="#xpointer(/)"'}, "structure"),
    "77 xslt transform": (
        {
            "transforms": TRANSFORM_ENVELOPED
            + '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"><xsl:stylesheet '
            'xmlns:xsl="http://www.w3.org/1999/XSL/Transform" version="1.0"><xsl:template match="/"><a/>'
            "</xsl:template></xsl:stylesheet></ds:Transform>"
        },
        "algorithm",
    ),
    "80 xpath false, nothing signed": (
        {"transforms": TRANSFORM_ENVELOPED + xpath("false()") + TRANSFORM_EXCLUSIVE},
        "structure",
    ),
    "80b xpath false in place of the canonical form": (
        {"transforms": TRANSFORM_ENVELOPED + xpath("false()")},
        "algorithm",
    ),
    "81 xpath filter 2": (
        {
            "transforms": TRANSFORM_ENVELOPED
            + '<ds:Transform Algorithm="http://www.w3.org/2002/06/xmldsig-filter2"><f:XPath '
            'xmlns:f="http://www.w3.org/2002/06/xmldsig-filter2" Filter="subtract">/*</f:XPath>'
            "</ds:Transform>"
        },
        "algorithm",
    ),
    "83 two hundred canonical forms": ({"transforms": TRANSFORM_ENVELOPED + TRANSFORM_EXCLUSIVE * 200}, "structure"),
    "no enveloped transform order": (
        {"transforms": f'<ds:Transform Algorithm="{dsig.ENVELOPED}"/><ds:Transform Algorithm="{dsig.C14N}"/>'},
        "algorithm",
    ),
    "85 canonical form with comments": (
        {"transforms": TRANSFORM_ENVELOPED + f'<ds:Transform Algorithm="{dsig.EXC_C14N}WithComments"/>'},
        "algorithm",
    ),
    "86 inclusive for exclusive": ({"c14n": f'<ds:CanonicalizationMethod Algorithm="{dsig.C14N}"/>'}, "algorithm"),
    "87 prefix list": (
        {"transforms": TRANSFORM_ENVELOPED + f'<ds:Transform Algorithm="{dsig.EXC_C14N}">{PREFIXES}</ds:Transform>'},
        "structure",
    ),
    "93 sha1 signature": ({"method": f'<ds:SignatureMethod Algorithm="{dsig.RSA_SHA1}"/>'}, "algorithm"),
    "93b sha1 digest": ({"digest": f'<ds:DigestMethod Algorithm="{dsig.SHA1}"/>'}, "algorithm"),
    "94 md5 signature": ({"method": f'<ds:SignatureMethod Algorithm="{MORE}rsa-md5"/>'}, "algorithm"),
    "94b md5 digest": ({"digest": f'<ds:DigestMethod Algorithm="{MORE}md5"/>'}, "algorithm"),
    "another good hash": ({"method": f'<ds:SignatureMethod Algorithm="{dsig.RSA_SHA512}"/>'}, "algorithm"),
    "112 manifest": (
        {
            "reference": reference("#m"),
            "object": f'<ds:Object><ds:Manifest Id="m">{reference("", TRANSFORM_ENVELOPED)}</ds:Manifest></ds:Object>',
        },
        "structure",
    ),
}


@pytest.mark.parametrize("name", BY_THE_BANKS_OWN_KEY)
def test_signatures_of_the_right_key_but_another_structure(bank: KeyPair, name: str) -> None:
    parts, reason = BY_THE_BANKS_OWN_KEY[name]
    document = signing.stock_signs(template(**parts), bank)
    assert signing.stock_accepts(document, bank), "the forgery is no good, stock xmlsec refuses it too"
    assert reason_of(document, ENVELOPED, bank.pin) == reason


def test_68_69_once_started_xmlsec_opens_nothing(bank: KeyPair, tmp_path: Path) -> None:
    """The gate refuses such a reference. As a second protection, xmlsec would not open it either."""
    file = tmp_path / "other.xml"
    file.write_text("<other/>")
    for uri in (file.as_uri(), str(file), "file:///dev/zero"):
        with pytest.raises(xmlsec.Error):
            signing.stock_signs(template(uri=f'URI="{uri}"', transforms=TRANSFORM_EXCLUSIVE), bank)


@pytest.mark.parametrize("spot", ["<body>", "</body>", "</answer>"])
def test_signature_elements_elsewhere_even_if_signed(bank: KeyPair, spot: str) -> None:
    stray = f'<o:Object xmlns:o="{dsig.DS}"/>'
    document = signing.stock_signs(edited(template(), spot, spot + stray if spot == "<body>" else stray + spot), bank)
    assert signing.stock_accepts(document, bank)
    assert reason_of(document, ENVELOPED, bank.pin) == "structure"


@pytest.mark.parametrize("blanks", ["\n", " x "])
def test_text_around_the_signature_is_signed_where_it_stands(bank: KeyPair, blanks: str) -> None:
    padded = edited(edited(template(), "</answer>", f"{blanks}</answer>"), "<ds:Signature ", f"{blanks}<ds:Signature ")
    document = signing.stock_signs(padded, bank)
    for engine in ENGINES:
        canonical = dsig.verify(document, ENVELOPED, bank.pin, engine=engine).canonical
        assert canonical.endswith(f"</body>{blanks}{blanks}</answer>".encode())


def test_the_template_itself_is_good(bank: KeyPair) -> None:
    for engine in ENGINES:
        dsig.verify(signing.stock_signs(template(), bank), ENVELOPED, bank.pin, engine=engine)


# Templates that stock xmlsec itself refuses or cannot sign. The gate must refuse them before xmlsec runs.
NEVER_COMPUTED: Final[dict[str, tuple[str, str, str]]] = {
    "61 the value in another element": ("<ds:SignatureValue>", "<ds:SignatureValue/><ds:gone>", ""),
    "62 two SignedInfo": ("<ds:SignatureValue>", "<ds:SignedInfo/><ds:SignatureValue>", "structure"),
    "63 SignedInfo deeper": ("<ds:SignedInfo>", "<ds:SignedInfo><ds:SignedInfo/>", "structure"),
    "71 http": ('URI=""', 'URI="http://127.0.0.1:1/x"', "structure"),
    "68 file": ('URI=""', 'URI="file:///etc/hostname"', "structure"),
    "69 file without end": ('URI=""', 'URI="file:///dev/zero"', "structure"),
    "73 xpointer id": ('URI=""', "URI=\"#xpointer(id('a'))\"", "structure"),
    "74 fragment": ('URI=""', 'URI="#evil"', "structure"),
    "75 no URI": (' URI=""', "", "structure"),
    "76 cid": ('URI=""', 'URI="cid:body"', "structure"),
    "76b relative": ('URI=""', 'URI="other.xml"', "structure"),
    "blank URI": ('URI=""', 'URI=" "', "structure"),
    "type attribute": ('URI=""', f'URI="" Type="{dsig.DS}Object"', "structure"),
    "82 base64 transform": (TRANSFORM_EXCLUSIVE, f'<ds:Transform Algorithm="{dsig.DS}base64"/>', "algorithm"),
    "84 unknown transform": (TRANSFORM_EXCLUSIVE, '<ds:Transform Algorithm="urn:x"/>', "algorithm"),
    "transform missing": (TRANSFORM_EXCLUSIVE, "", "structure"),
    "96 pss": (dsig.RSA_SHA256, "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1", "algorithm"),
    "98 hmac": (dsig.RSA_SHA256, f"{MORE}hmac-sha256", "algorithm"),
    "97 ecdsa": (dsig.RSA_SHA256, f"{MORE}ecdsa-sha256", "algorithm"),
    "99 hmac length": (
        f'<ds:SignatureMethod Algorithm="{dsig.RSA_SHA256}"/>',
        f'<ds:SignatureMethod Algorithm="{dsig.RSA_SHA256}"><ds:HMACOutputLength>8</ds:HMACOutputLength>'
        "</ds:SignatureMethod>",
        "structure",
    ),
    "90 comment in the digest": ("<ds:DigestValue>", "<ds:DigestValue><!--x-->", "comment"),
    "element in the digest": ("<ds:DigestValue>", "<ds:DigestValue><ds:x/>", "structure"),
    "text in the structure": ("<ds:Transforms>", "<ds:Transforms>x", "structure"),
    "empty digest": ("<ds:DigestValue>", "<ds:DigestValue/><ds:DigestValue>", "structure"),
    "value not base64": ("<ds:SignatureValue>", "<ds:SignatureValue>!", "structure"),
    "91 comment in the amount": ("100.00", "1<!-- -->00.00", "comment"),
    "instruction in the amount": ("100.00", "1<?x ?>00.00", "instruction"),
    "13 entity in the amount": ("<answer", '<!DOCTYPE answer [<!ENTITY e "1">]><answer', "doctype"),
    "another namespace of Signature": (f'xmlns:ds="{dsig.DS}"', f'xmlns:ds="{dsig.DS}x"', "unsigned"),
    "59 signature deeper": ("<ds:Signature ", "<wrap><ds:Signature ", ""),
    "102 key name": ("</ds:SignatureValue>", "</ds:SignatureValue>@<ds:KeyName>x</ds:KeyName>", "structure"),
    "101 key value": ("</ds:SignatureValue>", "</ds:SignatureValue>@<ds:KeyValue/>", "structure"),
    "103 retrieval": ("</ds:SignatureValue>", '</ds:SignatureValue>@<ds:RetrievalMethod URI="#k"/>', "structure"),
    "104 encrypted key": (
        "</ds:SignatureValue>",
        '</ds:SignatureValue>@<xe:EncryptedKey xmlns:xe="http://www.w3.org/2001/04/xmlenc#"/>',
        "structure",
    ),
    "attribute of the signature": ("<ds:Signature ", '<ds:Signature Evil="1" ', "structure"),
    "signature within the signature": (
        "</ds:SignatureValue>",
        "</ds:SignatureValue>@<ds:X509Data><ds:Signature/></ds:X509Data>",
        "structure",
    ),
    "two KeyInfo": ("</ds:SignatureValue>", "</ds:SignatureValue><ds:KeyInfo/><ds:KeyInfo/>", "structure"),
}


@pytest.mark.parametrize("name", NEVER_COMPUTED)
def test_structures_that_must_not_be_looked_at(bank: KeyPair, name: str) -> None:
    old, new, reason = NEVER_COMPUTED[name]
    if "@" in new:
        new = new.replace("@", "<ds:KeyInfo>") + "</ds:KeyInfo>"
    document = edited(signing.signed(signing.answer(), ENVELOPED, bank), old, new)
    if name.startswith("61"):
        document = edited(document, "</ds:SignatureValue>", "</ds:gone>")
        reason = "structure"
    if name.startswith("59"):
        document = edited(document, "</ds:Signature>", "</ds:Signature></wrap>")
        reason = "structure"
    assert reason_of(document, ENVELOPED, bank.pin) == reason


def test_64_no_reference_at_all(bank: KeyPair) -> None:
    document = signing.signed(signing.answer(), ENVELOPED, bank)
    root = etree.fromstring(document)
    found = root.find(f".//{D}Reference")
    assert found is not None
    parent = found.getparent()
    assert parent is not None
    parent.remove(found)
    assert reason_of(etree.tostring(root), ENVELOPED, bank.pin) == "structure"


def test_61_an_empty_value(bank: KeyPair) -> None:
    prepared = dsig.prepare(signing.answer(), ENVELOPED)
    document = prepared.before + prepared.between + prepared.after
    assert reason_of(document, ENVELOPED, bank.pin) == "signature"
    assert reason_of(edited(document, "</ds:SignatureValue>", "AAAA</ds:SignatureValue>"), ENVELOPED, bank.pin)


def test_60_unsigned_and_58_signed_twice(bank: KeyPair) -> None:
    document = signing.signed(signing.answer(), ENVELOPED, bank)
    assert reason_of(signing.answer(), ENVELOPED, bank.pin) == "unsigned"
    start, end = document.index(b"<ds:Signature "), document.index(b"</answer>")
    twice = document[:end] + document[start:end] + document[end:]
    assert reason_of(twice, ENVELOPED, bank.pin) == "structure"
    hidden = document[: document.index(b"</body>")] + document[start:end] + document[document.index(b"</body>") :]
    assert reason_of(hidden, ENVELOPED, bank.pin) == "structure"


def test_79_an_xpath_bomb_costs_nothing(bank: KeyPair) -> None:
    rows = "".join(f"<row>{i}</row>" for i in range(300))
    document = edited(signing.signed(signing.answer(), ENVELOPED, bank), "</body>", f"{rows}</body>")
    bomb = xpath("count(//. | //@* | //namespace::*) > count(//.//.//.//.)")
    assert reason_of(edited(document, TRANSFORM_EXCLUSIVE, bomb), ENVELOPED, bank.pin) == "algorithm"


def test_95_short_keys(bank: KeyPair) -> None:
    short = key_pair("short", 1024)
    assert reason_of(signing.signed(signing.answer(), ENVELOPED, short), ENVELOPED, short.pin) == "wrong_key"


def test_100_107_another_key_whatever_it_shows(bank: KeyPair, stranger: KeyPair) -> None:
    plain = signing.signed(signing.answer(), ENVELOPED, stranger)
    assert reason_of(plain, ENVELOPED, bank.pin) == "signature"
    shown = dsig.x509_key_info(ENVELOPED, [stranger.certificate])
    document = signing.signed(signing.answer(), ENVELOPED, stranger, shown)
    assert reason_of(document, ENVELOPED, bank.pin) == "wrong_key"
    banks = dsig.x509_key_info(ENVELOPED, [bank.certificate])
    document = signing.signed(signing.answer(), ENVELOPED, stranger, banks)
    assert reason_of(document, ENVELOPED, bank.pin) == "signature"


@pytest.mark.parametrize("shown", ["AAAA", "", "A", "!", "A" * 20_000])
def test_unreadable_certificates_only_change_the_words(bank: KeyPair, stranger: KeyPair, shown: str) -> None:
    info = f'<ds:KeyInfo xmlns:ds="{dsig.DS}"><ds:X509Data><ds:X509Certificate>{shown}</ds:X509Certificate>'
    info += "</ds:X509Data></ds:KeyInfo>"
    prepared = dsig.prepare(signing.answer(), ENVELOPED)
    good = dsig.attach(prepared, bank.sign(prepared.octets), info)
    dsig.verify(good, ENVELOPED, bank.pin)
    forged = dsig.attach(prepared, stranger.sign(prepared.octets), info)
    assert reason_of(forged, ENVELOPED, bank.pin) == "signature"


def test_no_pinned_key_means_no() -> None:
    assert reason_of(signing.answer(), ENVELOPED) == "wrong_key"


def test_92_line_breaks_in_base64_are_no_attack(bank: KeyPair) -> None:
    document = signing.signed(signing.answer(), ENVELOPED, bank)
    for engine in ENGINES:
        broken = edited(document, "</ds:SignatureValue>", "\r\n \t</ds:SignatureValue>")
        dsig.verify(broken, ENVELOPED, bank.pin, engine=engine)


def test_89_carriage_returns_keep_their_meaning(bank: KeyPair) -> None:
    document = signing.signed(signing.answer(payee="a\rb"), ENVELOPED, bank)
    assert b"a&#xD;b" in document
    for engine in ENGINES:
        root = dsig.verify(document, ENVELOPED, bank.pin, engine=engine).root
        assert root.findtext(f".//{{{NS}}}payee") == "a\rb"
    assert reason_of(edited(document, "a&#xD;b", "a\rb"), ENVELOPED, bank.pin) == "digest"


def test_88_a_relative_namespace_has_no_canonical_form(bank: KeyPair) -> None:
    document = edited(signing.signed(signing.answer(), ENVELOPED, bank), "<body>", '<body><x xmlns="rel"/>')
    for engine in ENGINES:
        with pytest.raises(ProtocolError):
            dsig.verify(document, ENVELOPED, bank.pin, engine=engine)


@pytest.mark.parametrize("wrapper", ["<evil>%s</evil>", '<answer xmlns="urn:bankgw:test">%s</answer>'])
def test_the_signed_document_inside_another(bank: KeyPair, wrapper: str) -> None:
    inner = signing.signed(signing.answer(), ENVELOPED, bank).partition(b"?>")[2].decode()
    assert reason_of((wrapper % inner).encode(), ENVELOPED, bank.pin) == "structure"


def test_43_another_root_with_the_same_local_name(bank: KeyPair) -> None:
    path = ENVELOPED.signature_path.replace(NS, "urn:other")
    other = dsig.SignatureProfile("other", path)
    document = signing.signed(signing.answer().replace(NS.encode(), b"urn:other"), other, bank)
    dsig.verify(document, other, bank.pin)
    assert reason_of(document, ENVELOPED, bank.pin) == "structure"


# --- wrapping of a body that is signed by id -------------------------------------------------------------

Place = Callable[[etree._Element, etree._Element, etree._Element], None]


def _header(root: etree._Element) -> etree._Element:
    return root[0]


def _wrapped(element: etree._Element) -> etree._Element:
    wrapper = etree.Element("Wrapper")
    wrapper.append(element)
    return wrapper


def _before_forged(root: etree._Element, original: etree._Element, forged: etree._Element) -> None:
    root.insert(1, original)


def _in_header(root: etree._Element, original: etree._Element, forged: etree._Element) -> None:
    _header(root).append(_wrapped(original))


def _first_in_header(root: etree._Element, original: etree._Element, forged: etree._Element) -> None:
    _header(root).insert(0, original)


def _sibling_before(root: etree._Element, original: etree._Element, forged: etree._Element) -> None:
    root.insert(0, _wrapped(original))


def _sibling_after(root: etree._Element, original: etree._Element, forged: etree._Element) -> None:
    root.append(_wrapped(original))


def _second_body(root: etree._Element, original: etree._Element, forged: etree._Element) -> None:
    root.append(original)


def _inside_forged(root: etree._Element, original: etree._Element, forged: etree._Element) -> None:
    forged.append(original)


def _in_object(root: etree._Element, original: etree._Element, forged: etree._Element) -> None:
    box = etree.SubElement(_signature(root), f"{D}Object")
    box.append(original)


def _in_key_info(root: etree._Element, original: etree._Element, forged: etree._Element) -> None:
    box = etree.SubElement(_signature(root), f"{D}KeyInfo")
    etree.SubElement(box, f"{{{WSSE}}}SecurityTokenReference").append(original)


def _in_security(root: etree._Element, original: etree._Element, forged: etree._Element) -> None:
    _header(root)[0].append(original)


def _in_new_root(root: etree._Element, original: etree._Element, forged: etree._Element) -> None:
    forged.append(_wrapped(original))


def _signature(root: etree._Element) -> etree._Element:
    found = root.find(f".//{D}Signature")
    assert found is not None
    return found


PLACES: Final[list[Place]] = [
    _before_forged,
    _in_header,
    _first_in_header,
    _sibling_before,
    _sibling_after,
    _second_body,
    _inside_forged,
    _in_object,
    _in_key_info,
    _in_security,
    _in_new_root,
]


@pytest.mark.parametrize("forged_id", ["same", "other", "none", "ID", "id", "xml:id"])
@pytest.mark.parametrize("place", PLACES)
def test_46_to_57_signature_wrapping(bank: KeyPair, place: Place, forged_id: str) -> None:
    document = signing.signed(signing.envelope(), SOAP_SIGNED, bank)
    dsig.verify(document, SOAP_SIGNED, bank.pin)
    root = etree.fromstring(document)
    original = root[1]
    forged = etree.fromstring(etree.tostring(original).replace(b"100.00", b"900.00"))
    root.replace(original, forged)
    names = {"ID": "ID", "id": "id", "xml:id": "{http://www.w3.org/XML/1998/namespace}id"}
    if forged_id == "other":
        forged.set(f"{{{WSU}}}Id", "B-2")
    elif forged_id != "same":
        del forged.attrib[f"{{{WSU}}}Id"]
        if forged_id in names:
            forged.set(names[forged_id], "B-1")
    place(root, original, forged)
    assert reason_of(etree.tostring(root), SOAP_SIGNED, bank.pin) == "structure"


def test_wrapping_works_against_plain_xmlsec(bank: KeyPair) -> None:
    """This shows why the checks exist: the forged body stands where an application reads, and stock verification
    accepts it.
    """
    root = etree.fromstring(signing.signed(signing.envelope(), SOAP_SIGNED, bank))
    original = root[1]
    forged = etree.fromstring(etree.tostring(original).replace(b"100.00", b"900.00"))
    del forged.attrib[f"{{{WSU}}}Id"]
    root.replace(original, forged)
    _in_header(root, original, forged)
    document = etree.tostring(root)
    assert signing.stock_accepts(document, bank)
    assert etree.fromstring(document).findtext(f"{{{SOAP}}}Body//{{{NS}}}amount") == "900.00"
    assert reason_of(document, SOAP_SIGNED, bank.pin) == "structure"


def test_55_56_a_second_element_with_the_id(bank: KeyPair) -> None:
    document = signing.signed(signing.envelope(), SOAP_SIGNED, bank)
    for spot in ("<soap:Header>", "</soap:Header>"):
        twin = f'{spot}<x Id="B-1"/>' if spot[1] != "/" else f'<x Id="B-1"/>{spot}'
        assert reason_of(edited(document, spot, twin), SOAP_SIGNED, bank.pin) == "structure"


def test_references_in_another_order_are_no_attack_but_one_twice_is(bank: KeyPair) -> None:
    profile = dsig.SignatureProfile(
        "turned", SOAP_SIGNED.signature_path, SOAP_SIGNED.references[::-1], body=1, key_info=SOAP_SIGNED.key_info
    )
    document = signing.signed(signing.envelope(), profile, bank)
    for engine in ENGINES:
        assert dsig.verify(document, SOAP_SIGNED, bank.pin, engine=engine).root.tag == f"{{{SOAP}}}Body"
        assert dsig.verify(document, profile, bank.pin, engine=engine).root.tag == f"{{{SOAP}}}Body"
    twice = edited(document, 'URI="#TS-1"', 'URI="#B-1"')
    assert reason_of(twice, SOAP_SIGNED, bank.pin) == "structure"


def test_an_xml_attribute_above_an_inclusive_reference_is_refused(bank: KeyPair) -> None:
    path = f"/{{{NS}}}answer/{{{NS}}}head/{D}Signature"
    by_id = dsig.ById(f"/{{{NS}}}answer/{{{NS}}}body", "Id", (dsig.C14N,))
    profile = dsig.SignatureProfile("inclusive", path, (by_id,), c14n=dsig.EXC_C14N)
    document = signing.answer().replace(b"<body>", b'<body Id="b">').replace(b"<answer ", b'<answer xml:lang="zh" ')
    with pytest.raises(ProtocolError, match="structure"):
        dsig.prepare(document, profile)


# --- every byte -----------------------------------------------------------------------------------------


def _same_verdict(data: bytes, profile: dsig.SignatureProfile, pin: dsig.PinnedKey) -> bytes | None:
    """The signed octets if accepted, None if refused. Both engines must agree in verdict and reason."""
    verdicts: list[bytes | str] = []
    for engine in ENGINES:
        try:
            verdicts.append(dsig.verify(data, profile, pin, engine=engine).canonical)
        except ProtocolError as error:
            verdicts.append(error.reason)
    assert verdicts[0] == verdicts[1], verdicts
    return verdicts[0] if isinstance(verdicts[0], bytes) else None


@pytest.mark.parametrize("profile", [ENVELOPED, SOAP_SIGNED], ids=lambda profile: profile.name)
def test_115_any_byte_changed_is_refused_or_means_the_same(bank: KeyPair, profile: dsig.SignatureProfile) -> None:
    plain = signing.answer() if profile is ENVELOPED else signing.envelope()
    document = signing.signed(plain, profile, bank)
    golden = dsig.verify(document, profile, bank.pin).canonical
    accepted = 0
    for at in range(len(document)):
        for byte in (document[at] ^ 1, document[at] ^ 0x20, ord(" "), ord("0"), 0):
            mutant = document[:at] + bytes([byte]) + document[at + 1 :]
            if mutant != document:
                read = _same_verdict(mutant, profile, bank.pin)
                assert read in (None, golden), (at, document[at : at + 20], byte)
                accepted += read is not None
    # Blanks inside tags and the declaration have no meaning. No other byte may change.
    assert accepted < len(document) * 0.2


def test_34_any_cut_and_any_doubled_byte_is_refused_or_means_the_same(bank: KeyPair) -> None:
    document = signing.signed(signing.answer(), ENVELOPED, bank)
    golden = dsig.verify(document, ENVELOPED, bank.pin).canonical
    for at in range(len(document)):
        assert _same_verdict(document[:at], ENVELOPED, bank.pin) is None
        assert _same_verdict(document[:at] + document[at + 1 :], ENVELOPED, bank.pin) in (None, golden)
        doubled = document[: at + 1] + document[at : at + 1] + document[at + 1 :]
        assert _same_verdict(doubled, ENVELOPED, bank.pin) in (None, golden)


def test_a_signature_by_another_hash_under_the_named_algorithm(bank: KeyPair) -> None:
    prepared = dsig.prepare(signing.answer(), ENVELOPED)
    document = dsig.attach(prepared, bank.sign(prepared.octets, hashes.SHA512()))
    assert reason_of(document, ENVELOPED, bank.pin) == "signature"
