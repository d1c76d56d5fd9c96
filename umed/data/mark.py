# SPDX-License-Identifier: Apache-2.0
"""The sentence that ``--mark`` puts into protected PNG and TIFF files, for software and people that see a file alone.

PNG: a ``tEXt`` chunk ``Comment``. TIFF: ``ImageDescription``. Headers of volumes stay byte-identical and get none;
DICOM has ImageType DERIVED and derivation code 113042 anyway.
"""

from __future__ import annotations

import re

from umed.core.version import __version__

MARK = f"Protected by umed {__version__} against training; not for diagnosis"
KEYWORD = "Comment"
"""Of the text chunk of a PNG."""
_ANY = re.compile(r"Protected by umed [\w.+-]{1,40} against training; not for diagnosis")


def is_mark(text: str) -> bool:
    """Whether a text is the mark of any version, and nothing else.

    >>> is_mark(MARK), is_mark(f"{MARK} Jane")
    (True, False)
    """
    return _ANY.fullmatch(text) is not None
