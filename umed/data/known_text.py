# SPDX-License-Identifier: Apache-2.0
"""Tells what programs write into header fields from what people may have written there."""

from __future__ import annotations

import re
from typing import Literal

from umed.data.icc_text import COMMON

TextKind = Literal["known", "device", "date", "free"]
"""``known``: a program wrote it and it names nobody. ``device``: names a machine. ``date``. ``free``: anything else."""

_VERSION = r"v?\d{1,4}(?:\.\d{1,4}){0,4}(?:[-+.]?(?:rc|dev|post|beta|alpha|svn|p)\d{0,4})?[a-z]?"
_NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_SETTING = rf"\??(?:TE|TR|TI|FA|Time|phase|mb|sec|dwell|slice|ESP|PE)[=:]\s?{_NUMBER}(?:\([a-z]+\))?"
_EVERYWHERE = re.compile(
    rf"""(?:
      FSL\s?{_VERSION} | \d(?:\.\d{{1,2}}){{1,3}} | none | NONE | unknown | (?:Simple)?ITK(?:\s{_VERSION})?
    | dcm2niix?(?:\s{_VERSION})? | (?:[Nn]i[Bb]abel|[Mm]onai|MONAI|ANTs|AFNI|SPM\d*|Nilearn|TorchIO)(?:\s{_VERSION})?
    | spm\s-\s(?:3D\snormali[sz]ed|realigned|conv\(\d+(?:\.\d+)?,\d+(?:\.\d+)?,\d+(?:\.\d+)?\))
    | MRtrix(?:\sversion:)?\s{_VERSION} | FreeSurfer(?:\s(?:matlab|{_VERSION}))?
    | FreeSurfer\s(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\s+\d{{1,2}}\s\d{{4}}
    | {_SETTING}(?:\s?[;,\s]\s?{_SETTING})*;? | NI[fF]TI-?[12](?:\s(?:[Ii]mage|[Ss]ingle\sfile\sformat))?
    | (?:FSL{_VERSION}\s)?{_VERSION}\sNIfTI-1\sSingle\sfile\sformat
    | Protected\sby\sumed\s[\w.+-]{{1,40}}\sagainst\straining;\snot\sfor\sdiagnosis
    )""",
    re.VERBOSE,
)
_WRITERS = re.compile(
    rf"""(?:
      (?:tifffile(?:\.py)?|ImageJ|Fiji|Pillow|PIL|GIMP|Inkscape|libtiff|libpng|OpenCV|scikit-image|imageio|FFmpeg|XnView
      |IrfanView|Greenshot|Paint\.NET|paint\.net|Picasa|QuPath|Ghostscript|GraphicsMagick|LibreOffice)(?:\s{_VERSION})?
    | ImageMagick\s{_VERSION}(?:-\d{{1,2}})?
      (?:\s(?:Q\d+(?:-HDRI)?|x86_64|i686|aarch64|\d{{4}}-?\d\d-?\d\d|\d+:[\da-f]+))*
      (?:\shttps?://(?:www\.|legacy\.)?imagemagick\.org)?
    | [Mm]atplotlib\s(?:version)?\s?{_VERSION},\shttps?://matplotlib\.org/ | MATLAB,\sThe\sMathWorks,\sInc\.
    | Adobe\s(?:Photoshop|ImageReady|Lightroom|Illustrator|Fireworks)(?:\s(?:CS\d?|CC|Elements|20\d\d|{_VERSION}))*
      (?:\s\((?:Windows|Macintosh)\))?
    | www\.inkscape\.org | Microsoft\sWindows\sPhoto\s(?:Viewer|Gallery)\s{_VERSION}
    )""",
    re.VERBOSE,
)
_OME_WRITERS = re.compile(
    rf"(?:OME )?Bio-Formats {_VERSION}|(?:tifffile\.py|AICSImageIO|aicsimageio|bioio|QuPath|libvips) {_VERSION}"
)
_WRITER_FIELDS = re.compile(r".*\.(?:Software|ProcessingSoftware|software)")
_DESCRIPTIONS = re.compile(
    rf"""(?:
      ImageJ={_VERSION}(?:\r?\n(?:images|channels|slices|frames|loop|hyperstack|min|max|spacing|finterval|fps|mode|unit
      |xorigin|yorigin|zorigin|cf|c\d)=(?:{_NUMBER}|true|false|grayscale|color|composite|gray|micron|um|mm|cm|inch|pixel
      |sec|\\u00B5m|µm)?)*\s*
    | \{{"shape":\s\[\d+(?:,\s?\d+)*\](?:,\s"axes":\s"[A-Z]{{1,9}}")?\}} | shape=\(\d+(?:,\s?\d+)*,?\)
    )""",
    re.VERBOSE,
)
_KNOWN_VALUES = {
    "nifti.aux_file": re.compile(
        r"Greyscale|Red-Yellow|Blue-Lightblue|Red|Green|Blue|Yellow|Pink|Hot|Cool|Copper|MGH-(?:Sub)?[Cc]ortical|"
        r"Random-Rainbow|render\d"
    ),
    "nifti.intent_name": re.compile(
        r"[Ll]abels?|[Mm]ask|[Ss]egmentation|[Pp]robability|[Vv]ector|[Dd]isplacement|[Tt]ime ?[Ss]eries|ToInternal|"
        r"Estimates"
    ),
    "nifti.data_type": re.compile(
        r"dsr|r|BINARY|UNSIGNED CH\w*|SIGNED SHO\w*|SIGNED INT|SHORT|FLOAT|DOUBLE|COMPLEX|RGB|ALL|"
        r"(?i:u?int(?:8|16|32|64)|float(?:32|64)?)"
    ),
    "exif.InteroperabilityIndex": re.compile(r"R98|R03|THM"),
    "icc.name": re.compile(r"icc|ICC [Pp]rofile|Photoshop ICC profile|kCGColorSpace\w{2,40}"),
}
_LONGEST = 2000
"""Nothing longer counts as known."""
_DEVICES = re.compile(r".*\.(?:Make|Model|UniqueCameraModel|LensMake|LensModel|DeviceSettingDescription)")
_DATE_FIELDS = re.compile(r".*(?:Date|Time|tIME|date:\w+).*")
_DATE = re.compile(
    r"[-\d:./ TZ+]{2,40}|(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?\d{1,2} ?[A-Z][a-z]{2} \d{4}[-\d: +GMTUC]{0,20}"
)


def text_kind(field: str, value: str) -> TextKind:
    """What kind of text stands in a header field.

    Args:
        field: such as ``"nifti.descrip"`` or ``"tiff.Software"``.
        value: its text, without padding.

    >>> text_kind("nifti.descrip", "FSL5.0"), text_kind("nifti.descrip", "Jane Roe, MRN 1234")
    ('known', 'free')
    >>> text_kind("tiff.Software", "ImageJ 1.53"), text_kind("tiff.Artist", "ImageJ 1.53")
    ('known', 'free')
    >>> text_kind("exif.DateTime", "2019:01:02 03:04:05")
    'date'
    """
    text = value.strip()
    if len(text) > _LONGEST:
        return "free"
    own = _KNOWN_VALUES.get(field)
    known = _EVERYWHERE.fullmatch(text) or (own is not None and own.fullmatch(text))
    if field == "tiff.OME-XML.OME.Creator":
        known = known or _OME_WRITERS.fullmatch(text)
    if _WRITER_FIELDS.fullmatch(field) or field == "jpeg.comment":
        known = known or _WRITERS.fullmatch(text)
    if field in ("tiff.ImageDescription", "png.tEXt.Description", "png.tEXt.Comment"):
        known = known or _DESCRIPTIONS.fullmatch(text)
    if field.startswith("icc."):  # what is not everybody's is mostly called after a screen
        known = known or COMMON.fullmatch(text)
        return "known" if known else "free" if "@" in text or "^" in text else "device"
    if _DATE_FIELDS.fullmatch(field) and _DATE.fullmatch(text):
        return "date"
    if known:
        return "known"
    return "device" if _DEVICES.fullmatch(field) else "free"
