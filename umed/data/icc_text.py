# SPDX-License-Identifier: Apache-2.0
"""Text in a colour profile: who made it and what it is called, often after a person's own screen.

Format: ICC.1:2022, sections 7.3, 10.15 and 10.24; textDescriptionType from ICC.1:2001-04.
"""

from __future__ import annotations

import re
import struct

from umed.data.side_parts import text_of

NAMES = {b"desc": "description", b"cprt": "copyright", b"dmnd": "manufacturer", b"dmdd": "model", b"scrd": "screening"}
COMMON = re.compile(
    r"""(?:c2(?:ci)?|u?sRGB(?:\s(?:IEC\s?61966-2[.-]1|built-in|[Pp]rofile))?(?:\sBlack\sscaled)?|built-in\ssRGB|sGr[ae]y|RGB
    |GIMP\sbuilt-in\s(?:sRGB|D65\sGrayscale\swith\s(?:sRGB|Linear)\sTRC)|Adobe\sRGB\s\(1998\)|Display\sP3|ProPhoto\sRGB
    |Apple\s(?:RGB|Wide\sColor\sSharing\sProfile)|Dot\sGain\s\d\d%|Gray\sGamma\s\d\.\d|ROMM\sRGB|Color\sLCD
    |Artifex\s(?:PS\s)?(?:e?sRGB|Gr[ae]y|CMYK|RGB)(?:\s(?:SWOP|Profile|ICC))*
    |(?:Generic|Linear|Calibrated)\s(?:RGB|Gray(?:scale)?|CMYK)(?:\sGamma\s\d\.\d)?(?:\s[Pp]rofile)?
    |Reference\sViewing\sCondition\sin\sIEC\s?61966-2[.-]1|IEC\shttp://www\.iec\.ch
    |IEC\s61966-2[.-]1\sDefault\sRGB\s[Cc]olou?r\s[Ss]pace(?:\s-\ssRGB)?
    |(?:(?:Copyright|\([cC]\)|©|\d{4}(?:-\d{4})?|by)\s)*(?:Hewlett-Packard(?:\sCompany)?|Apple(?:,?\sInc|\sComputer,?\sInc)?|Google(?:\sInc)?
      |Adobe(?:\sSystems)?(?:,?\sInc(?:orporated)?)?|Microsoft(?:\sCorporation)?|Artifex(?:\sSoftware)?)[.,]?(?:\s\d{4}(?:-\d{4})?\.?)?
      (?:\sAll\s[Rr]ights\s[Rr]eserved\.?)?
    |No\scopyright,?\suse\sfreely\.?|Public\s[Dd]omain|CC0)""",
    re.VERBOSE,
)
"""Names and makers of profiles that everybody has."""
_MOST_TAGS = 200


def icc_texts(profile: bytes) -> list[tuple[str, str]]:
    """Fields and texts of a colour profile; whatever is damaged is left out.

    Args:
        profile: unpacked.
    """
    if len(profile) < 132:
        return []
    found = []
    (count,) = struct.unpack_from(">I", profile, 128)
    for number in range(min(count, _MOST_TAGS)):
        at = 132 + 12 * number
        if at + 12 > len(profile):
            break
        name, place, size = profile[at : at + 4], *struct.unpack_from(">II", profile, at + 4)
        text = _text(profile[place : place + size])
        if text:
            shown = name.decode("latin-1").strip()
            found.append((f"icc.{NAMES.get(name, shown if shown.isalnum() else 'tag')}", text))
    return list(dict.fromkeys(found))


def _text(body: bytes) -> str:
    kind = body[:4]
    if kind == b"text":
        return text_of(body[8:])
    if kind == b"desc" and len(body) >= 12:
        (size,) = struct.unpack_from(">I", body, 8)
        return text_of(body[12 : 12 + size])
    if kind == b"mluc" and len(body) >= 16:
        count, width = struct.unpack_from(">II", body, 8)
        texts = []
        for number in range(min(count, _MOST_TAGS)):
            at = 16 + number * width
            if width < 12 or at + 12 > len(body):
                break
            size, place = struct.unpack_from(">II", body, at + 4)
            texts.append(text_of(body[place : place + size].decode("utf-16-be", "replace").encode()))
        return " ".join(dict.fromkeys(text for text in texts if text))
    return ""
