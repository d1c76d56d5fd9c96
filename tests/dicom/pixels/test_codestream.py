# SPDX-License-Identifier: Apache-2.0
"""The size in a compressed stream is read as encoders write it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.encaps import get_frame
from pydicom.uid import UID

from tests.dicom_files import image
from umed.dicom.pixels import codestream


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {}), ("JPEG", {"progressive": True}), ("JPEG2000", {})])
@pytest.mark.parametrize("colour", [False, True])
def test_size_of_pillow_streams(kind, options, colour):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((40, 70, 3) if colour else (40, 70), np.uint8)).save(buffer, kind, **options)
    assert codestream.size(buffer.getvalue()) == (40, 70, 3 if colour else 1)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.80"])
def test_size_of_dicom_streams(syntax):
    ds = image(np.zeros((40, 70), np.int16))
    ds.compress(UID(syntax), generate_instance_uid=False)
    assert codestream.size(get_frame(ds.PixelData, 0, number_of_frames=1)) == (40, 70, 1)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([b"\xff\xd8", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ", b""]), st.binary(max_size=120))
def test_any_bytes_give_a_size_or_none(start, rest):
    found = codestream.size(start + rest)
    assert found is None or (len(found) == 3 and min(found) >= 0)
