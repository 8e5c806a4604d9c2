"""Attacks 65 to 92, 112 and 118: references and transforms that cover another element, or take much time. Most are
signed with the bank's key."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Final

from lxml import etree

from protocols.kit import dsig
from tests.attacks import trap
from tests.attacks.forging import (
    by_the_bank,
    changed,
    edited,
    found,
    one_reference,
    opened,
    read_element,
    template,
    transform,
    usual,
    written,
)
from tests.attacks.kind import Attempt, on_signature
from tests.attacks.kinds_parser import BOMBS, bomb
from tests.attacks.targets import SignedDocument

OBJECT: Final = '<ds:Object Id="o">harmless</ds:Object>'
XSLT: Final = "http://www.w3.org/TR/1999/REC-xslt-19991116"
XPATH: Final = "http://www.w3.org/TR/1999/REC-xpath-19991116"
FILTER: Final = "http://www.w3.org/2002/06/xmldsig-filter2"
Made = Iterable[bytes | Attempt]


def _more_last(target: SignedDocument, more: str) -> str:
    return transform(*usual(target)) + more


def _xpath(expression: str) -> str:
    return f'<ds:Transform Algorithm="{XPATH}"><ds:XPath>{expression}</ds:XPath></ds:Transform>'


def _xslt(inside: str) -> str:
    return (
        f'<ds:Transform Algorithm="{XSLT}"><xsl:stylesheet xmlns:xsl="http://www.w3.org/1999/XSL/Transform" '
        f'version="1.0"><xsl:template match="/">{inside}</xsl:template></xsl:stylesheet></ds:Transform>'
    )


def _with_transforms(target: SignedDocument, *each: str) -> Made:
    """The document with these transforms in place of the profile's, before them, and after them; signed with the bank's
    key if xmlsec agrees to sign it."""
    for one in each:
        for transforms in (one, one + transform(*usual(target)), _more_last(target, one)):
            yield from by_the_bank(target, template(target, transforms=transforms))


def _unsigned_transforms(target: SignedDocument, *each: str) -> Made:
    """The document with these transforms, unsigned, so that nothing is computed while the attack is made."""
    for one in each:
        for transforms in (one, one + transform(*usual(target)), _more_last(target, one)):
            yield template(target, transforms=transforms)


@on_signature(65, "a thousand references")
def _(target: SignedDocument) -> Made:
    many = one_reference('URI="#o"', transform(dsig.EXC_C14N)) * 1000
    yield template(target, more=many, boxed=OBJECT)
    own = etree.tostring(found(opened(target)[1], "Reference"), encoding="unicode")

    def repeated(root: etree._Element, signature: etree._Element) -> None:
        info = found(signature, "SignedInfo")
        for _ in range(1000):
            info.append(etree.fromstring(own))

    yield changed(target, repeated)


@on_signature(66, "a second reference")
def _(target: SignedDocument) -> Made:
    more = one_reference('URI="#o"', transform(dsig.EXC_C14N))
    yield from by_the_bank(target, template(target, more=more, boxed=OBJECT))

    def unsigned(root: etree._Element, signature: etree._Element) -> None:
        info = found(signature, "SignedInfo")
        info.append(copy.deepcopy(found(info, "Reference")))

    yield changed(target, unsigned)


@on_signature(67, "reference to its own Object only")
def _(target: SignedDocument) -> Made:
    only = one_reference('URI="#o"', transform(dsig.EXC_C14N))
    yield from by_the_bank(target, template(target, only=only, boxed=OBJECT))


def _uris(target: SignedDocument, *uris: str) -> Made:
    """Unsigned templates, and the good document with its URI changed."""
    for uri in uris:
        yield template(target, uri=f'URI="{uri}"')

        def renamed(root: etree._Element, signature: etree._Element, to: str = uri) -> None:
            found(signature, "Reference").set("URI", to)

        yield changed(target, renamed)


@on_signature(68, "reference to a file")
def _(target: SignedDocument) -> Made:
    yield from _uris(target, trap.FILE.as_uri(), str(trap.FILE), f"file:{trap.FILE}", "../secret.txt")


@on_signature(69, "reference to a file without end")
def _(target: SignedDocument) -> Made:
    yield from _uris(target, "file:///dev/zero", "/dev/zero", "file://localhost/dev/zero")


@on_signature(70, "reference to a pipe")
def _(target: SignedDocument) -> Made:
    yield from _uris(target, trap.PIPE.as_uri(), str(trap.PIPE))


@on_signature(71, "reference to http")
def _(target: SignedDocument) -> Made:
    yield from _uris(target, trap.URL, trap.URL.replace("http", "ftp"), f"//{trap.URL.partition('//')[2]}")


@on_signature(72, "#xpointer(/) and #xpointer(//*)")
def _(target: SignedDocument) -> Made:
    if isinstance(target.profile.references[0], dsig.Enveloped):
        yield from by_the_bank(target, template(target, uri='URI="#xpointer(/)"'))
    yield from _uris(target, "#xpointer(/)", "#xpointer(//*)", "#xpointer(//node())", "#xmlns(a=b)xpointer(/)")


@on_signature(73, "#xpointer(id('a'))")
def _(target: SignedDocument) -> Made:
    named = target.profile.references[target.profile.body]
    root = opened(target)[0]
    value = "a" if isinstance(named, dsig.Enveloped) else root.xpath("string(//@*[local-name()='Id'])")
    yield from _uris(target, f"#xpointer(id('{value}'))", f"#id({value})", f"#element(/1)#{value}")


@on_signature(74, "empty URI with an evil sibling")
def _(target: SignedDocument) -> Made:
    yield from _uris(target, "#evil", " ", "#", "##")
    root, signature = opened(target)
    evil = etree.SubElement(root, "evil", Id="evil")
    evil.text = "x"
    yield written(root)
    found(signature, "Reference").set("URI", "")
    if not isinstance(target.profile.references[0], dsig.Enveloped):
        yield written(root)


@on_signature(75, "no URI")
def _(target: SignedDocument) -> Made:
    def without(root: etree._Element, signature: etree._Element) -> None:
        del found(signature, "Reference").attrib["URI"]

    yield changed(target, without)
    yield template(target, uri="")


@on_signature(76, "cid: and relative URIs")
def _(target: SignedDocument) -> Made:
    yield from _uris(target, "cid:body", "other.xml", "./", "?", "urn:x", "data:text/xml,<a/>".replace("<", "&lt;"))


@on_signature(77, "XSLT transform")
def _(target: SignedDocument) -> Made:
    yield from _with_transforms(target, _xslt("<a/>"))


@on_signature(78, "XSLT that opens documents, or never ends")
def _(target: SignedDocument) -> Made:
    endless = '<xsl:call-template name="x"/></xsl:template><xsl:template name="x"><xsl:call-template name="x"/>'
    for inside in (
        f"<xsl:copy-of select=\"document('{trap.FILE.as_uri()}')\"/>",
        f"<xsl:copy-of select=\"document('{trap.URL}')\"/>",
        endless,
    ):
        yield from _unsigned_transforms(target, _xslt(inside))


@on_signature(79, "XPath bomb")
def _(target: SignedDocument) -> Made:
    bomb = _xpath("count(//. | //@* | //namespace::*) > count(//.//.//.//.)".replace(">", "&gt;"))
    root = etree.fromstring(target.data)
    rows = etree.SubElement(root, "rows")
    for number in range(300):
        etree.SubElement(rows, "row").text = str(number)
    yield from _unsigned_transforms(SignedDocument(written(root), target.profile, target.key), bomb)


@on_signature(80, "XPath that selects nothing")
def _(target: SignedDocument) -> Made:
    yield from _with_transforms(target, _xpath("false()"), _xpath("not(self::text())"))


@on_signature(81, "XPath filter 2.0")
def _(target: SignedDocument) -> Made:
    subtract = (
        f'<ds:Transform Algorithm="{FILTER}"><f:XPath xmlns:f="{FILTER}" Filter="subtract">/*</f:XPath></ds:Transform>'
    )
    yield from _with_transforms(target, subtract)


@on_signature(82, "base64 transform")
def _(target: SignedDocument) -> Made:
    yield from _with_transforms(target, transform(dsig.DS + "base64"))


@on_signature(83, "two hundred canonical forms")
def _(target: SignedDocument) -> Made:
    yield from by_the_bank(target, template(target, transforms=_more_last(target, transform(dsig.EXC_C14N) * 200)))


@on_signature(84, "unknown transform")
def _(target: SignedDocument) -> Made:
    yield from _unsigned_transforms(target, transform("urn:x"), transform(""), "<ds:Transform/>")
    yield from _unsigned_transforms(target, transform("http://www.w3.org/2006/12/xml-c14n11"))
    yield template(target, transforms="")


@on_signature(85, "canonical form with comments")
def _(target: SignedDocument) -> Made:
    for form in (f"{dsig.EXC_C14N}WithComments", f"{dsig.C14N}#WithComments"):
        swapped = transform(*(one for one in usual(target) if one == dsig.ENVELOPED), form)
        yield from by_the_bank(target, template(target, transforms=swapped))
        yield from by_the_bank(target, template(target, c14n=form))


@on_signature(86, "inclusive for exclusive, and the reverse")
def _(target: SignedDocument) -> Made:
    other = dsig.C14N if target.profile.c14n == dsig.EXC_C14N else dsig.EXC_C14N
    yield from by_the_bank(target, template(target, c14n=other))
    forms = {dsig.EXC_C14N, dsig.C14N} - {usual(target)[-1]}
    for form in forms:
        swapped = transform(*(one for one in usual(target) if one == dsig.ENVELOPED), form)
        yield from by_the_bank(target, template(target, transforms=swapped))
    # Namespaces declared outside the signed element that reach into it.
    yield target.data.replace(b" xmlns", b' xmlns:evil="urn:evil" xmlns', 1)
    yield target.data.replace(b" xmlns", b' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns', 1)


@on_signature(87, "InclusiveNamespaces PrefixList")
def _(target: SignedDocument) -> Made:
    for listed in ("x", "#default", "ds xs soap"):
        inside = f'<ec:InclusiveNamespaces xmlns:ec="{dsig.EXC_C14N}" PrefixList="{listed}"/>'
        form = f'<ds:Transform Algorithm="{dsig.EXC_C14N}">{inside}</ds:Transform>'
        swapped = transform(*(one for one in usual(target) if one == dsig.ENVELOPED)) + form
        yield from by_the_bank(target, template(target, transforms=swapped))
        method = f'<ds:CanonicalizationMethod Algorithm="{dsig.EXC_C14N}">{inside}</ds:CanonicalizationMethod>'
        plain = f'<ds:CanonicalizationMethod Algorithm="{target.profile.c14n}"/>'
        yield template(target).replace(plain.encode(), method.encode())


@on_signature(88, "relative namespace, which has no canonical form")
def _(target: SignedDocument) -> Made:
    def relative(root: etree._Element, signature: etree._Element) -> None:
        root.append(etree.fromstring('<x xmlns="rel"/>'))

    yield changed(target, relative)
    yield template(SignedDocument(changed(target, relative), target.profile, target.key))
    yield target.data.replace(b" xmlns", b' xmlns:r="rel" xmlns', 1)
    yield target.data.replace(b"SignedInfo", b'SignedInfo xmlns:r="./x"', 1)


@on_signature(89, "line ends and carriage returns")
def _(target: SignedDocument) -> Made:
    yield target.data.replace(b">", b">\r\n")
    yield target.data.replace(b">", b">&#13;", 3)
    yield target.data.replace(b"\n", b"\r\n")
    yield target.data.replace(b"\n", b"\r")
    yield target.data.replace(b"</", b"&#10;</", 1)


def _in(target: SignedDocument, name: str, text: str) -> Made:
    root, signature = opened(target)
    whole = written(root)
    value = found(signature, name).text or ""
    start = whole.index(value.encode())
    for where in (start, start + 4, start + len(value)):
        yield whole[:where] + text.encode() + whole[where:]


@on_signature(90, "comment in the digest value")
def _(target: SignedDocument) -> Made:
    for text in ("<!-- -->", "<!--x-->", "<?x y?>", "<![CDATA[]]>", "<ds:x/>", "<x/>"):
        yield from _in(target, "DigestValue", text)


@on_signature(91, "comment in what is signed")
def _(target: SignedDocument) -> Made:
    for leaf in _signed_leaves(target):
        text = leaf.encode()
        for between in (b"<!-- -->", b"<?x y?>", b"<![CDATA[]]>"):
            yield edited(target, b">" + text, b">" + text[:1] + between + text[1:])


def _signed_leaves(target: SignedDocument) -> list[str]:
    root, signature = opened(target)
    parent = signature.getparent()
    assert parent is not None
    parent.remove(signature)
    texts = [one.text or "" for one in root.iter() if not len(one)]
    return [one for one in texts if 1 < len(one) < 60 and one.isascii() and one.isalnum()][:6]


@on_signature(92, "blanks in the signature value")
def _(target: SignedDocument) -> Made:
    for blank in (" ", "\n", "\r\n\t", "&#32;", "&#13;", "\u00a0", "\u3000", "&#xA0;", "-", "="):
        yield from _in(target, "SignatureValue", blank)


@on_signature(112, "Manifest")
def _(target: SignedDocument) -> Made:
    inside = one_reference('URI=""', transform(dsig.ENVELOPED))
    manifest = f'<ds:Object><ds:Manifest Id="m">{inside}</ds:Manifest></ds:Object>'
    only = one_reference('URI="#m"', transform(dsig.EXC_C14N))
    yield from by_the_bank(target, template(target, only=only, boxed=manifest))
    typed = one_reference(f'URI="#m" Type="{dsig.DS}Manifest"', transform(dsig.EXC_C14N))
    yield from by_the_bank(target, template(target, more=typed, boxed=manifest))


@on_signature(118, "namespace bomb inside what is signed, below and beside it")
def _(target: SignedDocument) -> Made:
    """The attack with the bank's own SignedInfo, so that only the budget prevents the digest; then with a stranger's
    SignedInfo."""
    for one in BOMBS:
        crowd = bomb(*one)

        def inside(root: etree._Element, signature: etree._Element, crowd: str = crowd) -> None:
            read_element(target, root).append(etree.fromstring(crowd))

        def beside(root: etree._Element, signature: etree._Element, crowd: str = crowd) -> None:
            root.insert(0, etree.fromstring(crowd))

        yield changed(target, inside)
        yield changed(target, beside)
        yield template(SignedDocument(changed(target, inside), target.profile, target.key))
    around = " ".join(f'xmlns:p{n}="https://bank.example/namespace/{n}"' for n in range(31))
    yield target.data.replace(b"SignedInfo", f"SignedInfo {around}".encode(), 1)
