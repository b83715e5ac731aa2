"""The mark itself: its words, its XMP packet, and what it keeps of the source's packet."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from gantool.media.provenance import Provenance, carried_xmp

MARK = Provenance("colorize", "colorize-unet", "0.1.0")
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
TOOL = "{http://ns.adobe.com/xap/1.0/}CreatorTool"
SOURCE = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
  xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
  xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
  xmp:CreatorTool="Camera 1.0" xmp:Rating="4" tiff:Orientation="6">
  <Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture</Iptc4xmpExt:DigitalSourceType>
  <tiff:ImageWidth>12</tiff:ImageWidth>
  <dc:rights><rdf:Alt><rdf:li xml:lang="x-default">© Zoë</rdf:li></rdf:Alt></dc:rights>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>""".encode()


def properties(packet: bytes) -> dict[str, list[str]]:
    """All properties of a packet, as attributes or elements, with their texts."""
    found: dict[str, list[str]] = {}
    for description in ElementTree.fromstring(packet).iter(f"{RDF}Description"):
        for name, value in description.attrib.items():
            found.setdefault(name, []).append(value)
        for child in description:
            found.setdefault(child.tag, []).append("".join(child.itertext()).strip())
    return found


def test_sentence() -> None:
    assert MARK.sentence() == "Made by gantool 0.1.0: colorize with colorize-unet"


def test_a_fresh_packet() -> None:
    packet = MARK.xmp()
    assert packet.startswith(b"<?xpacket begin=") and packet.endswith(b'<?xpacket end="w"?>')
    assert b"Iptc4xmpExt:DigitalSourceType" in packet and b"xmp:CreatorTool" in packet
    found = properties(packet)
    assert found[TYPE] == [MARK.source_type] and found[TOOL] == ["gantool 0.1.0"]
    assert MARK.source_type.endswith("/compositeWithTrainedAlgorithmicMedia")


def test_a_model_name_cannot_break_the_packet() -> None:
    odd = Provenance("style", "a\"<&>'/ü", '1.0"<x>')
    assert properties(odd.xmp())[TOOL] == ['gantool 1.0"<x>']


def test_the_sources_words_are_kept_and_its_stale_ones_replaced() -> None:
    packet = MARK.xmp(SOURCE)
    found = properties(packet)
    assert found["{http://purl.org/dc/elements/1.1/}rights"] == ["© Zoë"]
    assert found["{http://ns.adobe.com/xap/1.0/}Rating"] == ["4"]
    assert found[TYPE] == [MARK.source_type] and found[TOOL] == ["gantool 0.1.0"]
    assert not any("Orientation" in name or "ImageWidth" in name for name in found)
    assert b"dc:rights" in packet and b"ns0:" not in packet


def test_marking_twice_marks_once() -> None:
    found = properties(MARK.xmp(MARK.xmp(SOURCE)))
    assert found[TYPE] == [MARK.source_type] and found[TOOL] == ["gantool 0.1.0"]


def test_without_provenance_nothing_is_added() -> None:
    kept = carried_xmp(SOURCE)
    assert kept is not None
    found = properties(kept)
    assert found[TOOL] == ["Camera 1.0"] and found[TYPE][0].endswith("digitalCapture")
    assert not any("Orientation" in name for name in found)
    assert carried_xmp(None) is None and carried_xmp(b"") is None


@pytest.mark.parametrize(
    "packet",
    [
        b"not xml",
        b"<a/>",
        b"<x",
        b"\xff\xfe\x00",
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x:xmpmeta xmlns:x="adobe:ns:meta/">&a;</x:xmpmeta>',
        SOURCE + b" " * (2 << 20),
    ],
)
def test_packets_not_to_be_trusted_are_dropped(packet: bytes) -> None:
    assert carried_xmp(packet) is None
    assert properties(MARK.xmp(packet)) == properties(MARK.xmp())
