# SPDX-License-Identifier: Apache-2.0
"""What an OME-XML description says beyond sizes, units and links between its own parts: names, dates, free text.

Format: OME schema 2016-06, https://www.openmicroscopy.org/Schemas/OME/2016-06/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

from umed.data.side_parts import text_of

_MOST = 1 << 24
_NUMBER = r"-?\d{1,15}(?:\.\d{1,20})?(?:[eE][-+]?\d{1,3})?"
_PLAIN = {
    **dict.fromkeys(
        (
            "SizeX",
            "SizeY",
            "SizeZ",
            "SizeC",
            "SizeT",
            "PhysicalSizeX",
            "PhysicalSizeY",
            "PhysicalSizeZ",
            "IFD",
            "FirstZ",
        )
        + ("FirstC", "FirstT", "TheZ", "TheC", "TheT", "PlaneCount", "SamplesPerPixel", "SignificantBits", "Color")
        + ("TimeIncrement", "DeltaT", "ExposureTime", "PositionX", "PositionY", "PositionZ", "NominalMagnification")
        + (
            "CalibratedMagnification",
            "LensNA",
            "WorkingDistance",
            "RefractiveIndex",
            "Gain",
            "Offset",
            "Zoom",
            "X",
            "Y",
        )
        + ("EmissionWavelength", "ExcitationWavelength", "PinholeSize", "Binning", "Voltage", "ReadOutRate", "Width")
        + ("Height", "Power", "Wavelength", "NDFilter", "Temperature", "AirPressure", "Humidity", "CO2Percent"),
        re.compile(_NUMBER),
    ),
    **dict.fromkeys(("BigEndian", "Interleaved"), re.compile(r"true|false|0|1")),
    **dict.fromkeys(("ID",), re.compile(r"[A-Z][A-Za-z]{2,20}:\d{1,5}(?:[:-]\d{1,5}){0,4}")),
    "UUID": re.compile(r"urn:uuid:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    "DimensionOrder": re.compile(r"XY[ZCT]{3}"),
    "Type": re.compile(r"u?int(?:8|16|32)|float|double|bit|complex|double-complex"),
    "schemaLocation": re.compile(r"(?:\s*https?://www\.openmicroscopy\.org/Schemas/[\w/.-]{1,80})+\s*"),
    "AcquisitionMode": re.compile(
        r"WideField|LaserScanningConfocalMicroscopy|SpinningDiskConfocal|SlitScanConfocal|MultiPhotonMicroscopy|"
        r"StructuredIllumination|TotalInternalReflection|FluorescenceLifetime|SpectralImaging|SPIM|STED|PALM|STORM|Other"
    ),
    "ContrastMethod": re.compile(
        r"Brightfield|Phase|DIC|HoffmanModulation|ObliqueIllumination|PolarizedLight|Darkfield|Fluorescence|Other"
    ),
    "IlluminationType": re.compile(r"Transmitted|Epifluorescence|Oblique|NonLinear|Other"),
    "Immersion": re.compile(r"Oil|Water|WaterDipping|Air|Multi|Glycerol|Other"),
}
"""What attributes hold where they name nobody."""
_UNIT = re.compile(
    r"(?:[YZEPTGMkhdcmµμnpfazy]|da)?(?:m|s|W|V|Hz|Pa|bar)|Å|thou|li|in|ft|yd|mi|ua|ly|pc|pt|pixel|reference frame"
    r"|min|h|d|atm|psi|m?Torr|mm Hg|°[CFR]|K|deg|rad|gon"
)
_IMAGE_NAME = re.compile(
    r"(?:Image|Series|Channel|C|Ch|ch|Z|T)[ :]?\d{0,3}|DAPI|[A-Z]?GFP|[A-Z]?FP|FITC|TRITC|Cy[357]|H&E"
)


def ome_texts(description: bytes) -> list[tuple[str, str]]:
    """Fields of an OME-XML description that may name somebody, and what they say.

    Args:
        description: the XML, with zeros at its end or not.

    Returns:
        ``("tiff.OME-XML.Experimenter.LastName", "Roe")`` ...; all of it as one ``tiff.OME-XML`` where it is no XML
        that can be read safely.
    """
    text = description.strip(b"\0 \r\n\t")
    whole = [("tiff.OME-XML", text_of(text))]
    if len(text) > _MOST or b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        return whole
    try:
        root = ElementTree.fromstring(text)  # no entities, so nothing expands
    except (ElementTree.ParseError, ValueError, LookupError):
        return whole
    if _local(root.tag) != "OME":
        return whole
    found = [("tiff.OME-XML.comment", text_of(note)) for note in _between(text, b"<!--", b"-->")]
    notes = [note for note in _between(text, b"<?", b"?>") if not note.startswith(b"xml ")]
    found += [("tiff.OME-XML.instruction", text_of(note)) for note in notes]
    for element in root.iter():
        name = _local(element.tag)
        for key, value in element.attrib.items():
            if not _is_plain(name, _local(key), value):
                found.append((f"tiff.OME-XML.{name}.{_local(key)}", text_of(value.encode())))
        for part in (element.text, element.tail):
            if part and part.strip() and not (name == "UUID" and _PLAIN["UUID"].fullmatch(part.strip())):
                found.append((f"tiff.OME-XML.{name}", text_of(part.encode())))
    return [pair for pair in dict.fromkeys(found) if pair[1]]


def _between(text: bytes, start: bytes, stop: bytes) -> Iterator[bytes]:
    """What stands between two marks, in one pass."""
    place = text.find(start)
    while place >= 0:
        end = text.find(stop, place)
        if end < 0:
            return
        yield text[place + len(start) : end]
        place = text.find(start, end)


def _local(name: object) -> str:
    return str(name).rpartition("}")[2]


def _is_plain(element: str, key: str, value: str) -> bool:
    """Whether an attribute names nobody by its form."""
    if key.endswith("Unit"):
        return _UNIT.fullmatch(value) is not None
    if key == "Name" and element in ("Image", "Channel"):
        return _IMAGE_NAME.fullmatch(value) is not None
    pattern = _PLAIN.get(key)
    return pattern is not None and element != "M" and bool(pattern.fullmatch(value))
