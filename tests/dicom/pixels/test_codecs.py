# SPDX-License-Identifier: Apache-2.0
"""Codecs run in a process of their own: what crashes or hangs there is one error here."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from tests.dicom_files import image
from umed.core.errors import InputError
from umed.dicom.pixels import codecs

RNG = np.random.default_rng(5)
PIXELS = RNG.integers(-900, 900, (40, 50)).astype(np.int16)


def packed(syntax="1.2.840.10008.1.2.4.80", pixels=PIXELS, **options):
    ds = image(pixels, **options)
    ds.compress(UID(syntax), generate_instance_uid=False)
    return ds


def test_frames_come_back():
    (values,) = codecs.frames(packed(), (1, 40, 50))
    assert np.array_equal(values, PIXELS) and values.flags.writeable


def test_one_of_many_frames():
    volume = RNG.integers(0, 4000, (3, 40, 50)).astype(np.uint16)
    ds = packed("1.2.840.10008.1.2.4.90", volume)
    values = list(codecs.frames(ds, (3, 40, 50)))
    assert np.array_equal(values[1], volume[1])
    assert np.array_equal(np.stack(values), volume)


def test_a_helper_that_died_is_started_again():
    list(codecs.frames(packed(), (1, 40, 50)))
    process = codecs._HELPER.process
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (values,) = codecs.frames(packed(), (1, 40, 50))
    assert np.array_equal(values, PIXELS) and codecs._HELPER.process is not process


def test_a_codec_that_hangs_is_stopped(monkeypatch):
    list(codecs.frames(packed(), (1, 40, 50)))
    monkeypatch.setattr(codecs, "TIMEOUT", 0.3)
    os.kill(codecs._HELPER.process.pid, signal.SIGSTOP)
    with pytest.raises(InputError, match="crashed or took too long"):
        list(codecs.frames(packed(), (1, 40, 50)))
    monkeypatch.undo()
    assert len(list(codecs.frames(packed(), (1, 40, 50)))) == 1


def test_a_stream_that_lies_about_its_size_reaches_no_decoder(monkeypatch):
    monkeypatch.setattr(codecs._HELPER, "decode", lambda *_: pytest.fail("was decoded"))
    with pytest.raises(InputError, match="of 40 x 49 x 1 as the header says, got a stream of 40 x 50 x 1"):
        list(codecs.frames(packed(), (1, 40, 49)))


def test_missing_frames_and_broken_streams():
    ds = packed()
    with pytest.raises(InputError):
        list(codecs.frames(ds, (2, 40, 50)))
    ds.PixelData = encapsulate([b"\xff\xd8 not a stream at all"])
    with pytest.raises(InputError, match="pixel data are broken"):
        list(codecs.frames(ds, (1, 40, 50)))


def test_missing_codecs_name_the_extra(monkeypatch):
    class Empty:
        available_plugins = ()

    monkeypatch.setattr(codecs, "get_decoder", lambda _: Empty)
    with pytest.raises(InputError, match=r"no codec for JPEG 2000 .*pip install 'umed\[dicom\]'"):
        codecs.available("1.2.840.10008.1.2.4.90")
    monkeypatch.undo()
    with pytest.raises(InputError, match="is not supported"):
        codecs.available("1.2.840.10008.1.2.4.66")


def test_twelve_bit_lossy_jpeg_says_so():
    ds = image(PIXELS.astype(np.uint16), bits=12)
    ds.file_meta.TransferSyntaxUID = UID(codecs.EXTENDED)
    with pytest.raises(InputError, match="lossy JPEG of 12 bits is not supported"):
        list(codecs.frames(ds, (1, 40, 50)))
