"""Octets that are assembled from cached parts equal those of the canonicaliser."""

from __future__ import annotations

import base64
from hashlib import sha256

import pytest
from lxml import etree

from protocols.kit.charset import UTF8
from protocols.kit.dsig.canonical import element_octets, octets_around
from protocols.kit.dsig.profile import C14N, DS, EXC_C14N, EXC_C14N_COMMENTS
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import parse

_WRITTEN = (
    '<a xmlns="urn:a" xmlns:d="{ds}"><d:I><d:M A="1"/><d:V>{word}</d:V></d:I></a>',
    '<a xmlns="urn:a"><I xmlns="{ds}"><M A="1"></M><V>{word}</V></I></a>',
    '<a xmlns:d="{ds}" xmlns:e="urn:e" e:f="g">\n<d:I>\r\n <d:M A="&#9;1"/>&#13;<d:V>{word}</d:V> </d:I> tail</a>',
    '<a xmlns:d="{ds}"><d:I><d:V><![CDATA[{word}]]></d:V></d:I></a>',
    '<a xmlns:d="{ds}"><d:I><d:V> {word}\n</d:V></d:I></a>',
    '<a xmlns:d="{ds}"><d:I><d:V>{word}</d:V><d:V>{word}</d:V></d:I></a>',
    '<a xmlns:d="{ds}" xmlns:e="urn:{word}"><d:I e:b="1"><d:V>{word}</d:V></d:I></a>',
    '<a xmlns:d="{ds}"><d:I><d:M A="&gt;{word}&lt;/"/><d:V>{word}</d:V></d:I></a>',
    '<a xmlns:d="{ds}"><d:I><d:M A="{mark}"/><d:V>{word}</d:V></d:I></a>',
    '<a xmlns:d="{ds}"><d:I><d:M A="{long}"/><d:V>{word}</d:V></d:I></a>',
    '<a xmlns:d="{ds}"><d:I><d:V/></d:I></a>',
)


@pytest.mark.parametrize("method", [EXC_C14N, EXC_C14N_COMMENTS, C14N])
@pytest.mark.parametrize("written", _WRITTEN)
def test_octets_around_a_word_are_the_elements_own(written: str, method: str) -> None:
    for seed in (b"1", b"2", b"1"):
        word = base64.b64encode(sha256(seed).digest()).decode()
        element = _first(written.format(ds=DS, word=word, mark="A" * 44, long="x" * 5_000))
        assert octets_around(element, method, word.encode()) == element_octets(element, method)
        assert octets_around(element, method, b"") == element_octets(element, method)


def test_a_word_that_is_the_mark() -> None:
    element = _first(_WRITTEN[0].format(ds=DS, word="A" * 44))
    assert octets_around(element, EXC_C14N, b"A" * 44) == element_octets(element, EXC_C14N)


def test_what_has_no_canonical_form_is_refused_each_time() -> None:
    for word in ("b2s=", "b2t=", "b2s="):
        element = _first(f'<a xmlns:d="{DS}" xmlns:e="relative"><d:I><d:V>{word}</d:V></d:I></a>')
        with pytest.raises(ProtocolError, match="no canonical form"):
            octets_around(element, EXC_C14N, word.encode())


def _first(document: str) -> etree._Element:
    return parse(document.encode(), UTF8)[0]
