"""The mark in every output that says a program made it: a sentence and an XMP packet.

The packet bears the IPTC digital source type (https://cv.iptc.org/newscodes/digitalsourcetype/), which
photo agencies and web sites read to label pictures made or altered by trained algorithms.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XMP = "http://ns.adobe.com/xap/1.0/"
_IPTC_EXT = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_TIFF = "http://ns.adobe.com/tiff/1.0/"
_EXIF = "http://ns.adobe.com/exif/1.0/"
_META = "adobe:ns:meta/"
# Some readers know these vocabularies only by their customary prefixes, so written packets keep them.
_PREFIXES = {
    "x": _META,
    "rdf": _RDF,
    "xmp": _XMP,
    "Iptc4xmpExt": _IPTC_EXT,
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
    "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
    "plus": "http://ns.useplus.org/ldf/xmp/1.0/",
    "tiff": _TIFF,
    "exif": _EXIF,
}
# What a source's packet says about its own pixels is no longer true of the result.
_STALE = {
    f"{{{_TIFF}}}{name}"
    for name in ("Orientation", "ImageWidth", "ImageLength", "BitsPerSample", "XResolution")
} | {
    f"{{{_EXIF}}}PixelXDimension",
    f"{{{_EXIF}}}PixelYDimension",
    f"{{{_TIFF}}}YResolution",
    f"{{{_XMP}}}Thumbnails",
}
_SOURCE_TYPE = f"{{{_IPTC_EXT}}}DigitalSourceType"
_CREATOR_TOOL = f"{{{_XMP}}}CreatorTool"
_ABOUT = f"{{{_RDF}}}about"
_HEADER = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
_TRAILER = '<?xpacket end="w"?>'
_LONGEST_PACKET_BYTES = 1 << 20


@dataclass(frozen=True)
class Provenance:
    """Who made a file: ``task`` ("colorize"), ``model`` (checkpoint name), gantool's ``version``."""

    task: str
    model: str
    version: str
    source_type: str = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"

    @property
    def tool(self) -> str:
        """The program and its version, as "gantool 0.1.0"."""
        return f"gantool {self.version}"

    def sentence(self) -> str:
        """One line for people, as "Made by gantool 0.1.0: colorize with colorize-unet"."""
        return f"Made by {self.tool}: {self.task} with {self.model}"

    def xmp(self, source: bytes | None = None) -> bytes:
        """An XMP packet (UTF-8) with DigitalSourceType and CreatorTool.

        What ``source``, the input's own packet, says otherwise (author, rights, caption) is kept; an
        unreadable one is dropped.
        """
        return _packet(source, {_SOURCE_TYPE: self.source_type, _CREATOR_TOOL: self.tool})


def carried_xmp(source: bytes | None) -> bytes | None:
    """The input's XMP packet without what no longer holds (orientation, size); None if there is none."""
    return None if _parse(source) is None else _packet(source, {})


def _packet(source: bytes | None, marks: dict[str, str]) -> bytes:
    """``source`` with ``marks`` (qualified property name -> text) put in place of its own."""
    for prefix, uri in _PREFIXES.items():
        ElementTree.register_namespace(prefix, uri)
    root = _parse(source)
    if root is None:
        root = ElementTree.Element(f"{{{_META}}}xmpmeta")
        ElementTree.SubElement(root, f"{{{_RDF}}}RDF")
    rdf = next(root.iter(f"{{{_RDF}}}RDF"))
    unwanted = _STALE | marks.keys()
    for description in rdf.findall(f"{{{_RDF}}}Description"):
        for name in unwanted & description.attrib.keys():
            del description.attrib[name]
        for child in [child for child in description if child.tag in unwanted]:
            description.remove(child)
        if len(description) == 0 and not set(description.attrib) - {_ABOUT}:
            rdf.remove(description)
    if marks:
        ElementTree.SubElement(rdf, f"{{{_RDF}}}Description", {_ABOUT: "", **marks})
    return "\n".join([_HEADER, ElementTree.tostring(root, encoding="unicode"), _TRAILER]).encode()


def _parse(source: bytes | None) -> ElementTree.Element | None:
    """The packet's element tree, or None if it is absent, not XMP or not to be trusted."""
    # Entities could swell a small packet to gigabytes; real packets declare none.
    if not source or len(source) > _LONGEST_PACKET_BYTES or b"<!" in source.replace(b"<!--", b""):
        return None
    try:
        root = ElementTree.fromstring(source.strip(b"\x00 \t\r\n"))
    except (ElementTree.ParseError, ValueError, LookupError):
        return None
    return root if next(root.iter(f"{{{_RDF}}}RDF"), None) is not None else None
