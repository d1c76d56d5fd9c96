# SPDX-License-Identifier: Apache-2.0
"""Decodes compressed frames in a process of its own, so that a codec that crashes or hangs takes down one file only.

The codecs are C and C++; some end the process on a broken stream. The helper process is started when the first
compressed frame is met, serves one frame at a time over its pipes, and is started again after it died.
"""

from __future__ import annotations

import atexit
import json
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from umed.core.errors import InputError
from umed.dicom.pixels import codestream
from umed.dicom.read.archives import printable

INSTALL = "Install the codecs: pip install 'umed[dicom]'"
EXTENDED = "1.2.840.10008.1.2.4.51"
TIMEOUT = 60.0
"""Seconds that one frame may take; a file of many may take a second more for each mebibyte of pixels."""
_SLOWEST = 1 << 20
PLUGINS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("1.2.840.10008.1.2.4.9", ("pylibjpeg", "pillow", "gdcm")),
    ("1.2.840.10008.1.2.4.20", ("pylibjpeg",)),
    ("1.2.840.10008.1.2.4.8", ("pyjpegls", "gdcm")),
    ("1.2.840.10008.1.2.5", ("pylibjpeg", "pydicom")),
    ("1.2.840.10008.1.2.4.5", ("pillow", "gdcm")),
    ("1.2.840.10008.1.2.4.", ("gdcm",)),
)
"""pydicom's codecs by the start of the transfer syntax, in the order to try."""
_KEYWORDS = {
    "rows": "Rows",
    "columns": "Columns",
    "samples_per_pixel": "SamplesPerPixel",
    "photometric_interpretation": "PhotometricInterpretation",
    "bits_allocated": "BitsAllocated",
    "bits_stored": "BitsStored",
    "pixel_representation": "PixelRepresentation",
    "planar_configuration": "PlanarConfiguration",
}
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from umed.dicom.pixels.codecs import serve; "
    "serve(sys.stdin.buffer, sys.stdout.buffer)"
)


def frames(dataset: Dataset, shape: tuple[int, ...]) -> Iterator[NDArray[Any]]:
    """Decode compressed frames to ``(rows, columns[, samples])``.

    ``shape`` is frames, rows, columns, maybe samples, as the header says. Lossy and YBR_RCT colours become RGB.
    InputError if a frame is broken, or announces another size than the header, or its codec is missing.
    """
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    plugins = available(syntax)
    samples = shape[3] if len(shape) == 4 else 1
    if syntax == EXTENDED and dataset.BitsStored > 8:
        raise InputError(f"lossy JPEG of {dataset.BitsStored} bits is not supported: no free codec decodes it")
    request: dict[str, Any] = {"syntax": syntax, "plugins": plugins, "raw": samples == 1}
    for option, keyword in _KEYWORDS.items():
        value = dataset.get(keyword)
        if value is not None:
            request[option] = str(value) if option.startswith("photo") else int(value)
    if samples == 3:
        request.setdefault("planar_configuration", 0)
    size = int(np.prod(shape[1:]))
    single, bits = (shape[1], shape[2], samples), int(request.get("bits_allocated", 8))
    end = time.monotonic() + TIMEOUT + shape[0] * size * bits / 8 / _SLOWEST
    found = 0
    offsets: Any = None
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    for stream in generate_frames(dataset.PixelData, number_of_frames=shape[0], extended_offsets=offsets):
        codestream.check_frame(syntax, stream, single, bits)
        left = end - time.monotonic()
        if left <= 0:
            raise InputError("the pixel data are broken (the codec took too long)")
        values = _HELPER.decode(request, stream, min(left, TIMEOUT))
        if values.size != size:
            raise InputError(f"expected {size} values a frame, got {values.size}")
        found += 1
        yield values.reshape(shape[1:])
    if found != shape[0]:
        raise InputError(f"expected {shape[0]} frames, got {found}")


def available(syntax: str) -> list[str]:
    """Names of the installed codecs of a compressed syntax, in the order to try.

    InputError if the syntax is not supported, or no codec of it is installed.
    """
    try:
        decoder = get_decoder(UID(syntax))
    except NotImplementedError as error:
        raise InputError(f"its transfer syntax {printable(UID(syntax).name)} is not supported") from error
    wanted = next((plugins for start, plugins in PLUGINS if syntax.startswith(start)), ())
    there = [plugin for plugin in wanted if plugin in decoder.available_plugins]
    if not there:
        raise InputError(f"no codec for {UID(syntax).name}. {INSTALL}")
    return there


def _decode(request: Mapping[str, Any], stream: bytes) -> NDArray[Any]:
    """Decode one frame in this process."""
    options = {key: value for key, value in request.items() if key not in ("syntax", "plugins")}
    options |= {"number_of_frames": 1, "pixel_keyword": "PixelData"}
    decoder = get_decoder(UID(request["syntax"]))
    errors = []
    for plugin in request["plugins"]:
        try:
            values = decoder.as_array(encapsulate([stream]), decoding_plugin=plugin, **options)[0]
            return np.asarray(np.ascontiguousarray(values, values.dtype.newbyteorder("=")))
        except Exception as error:
            errors.append(brief(error))
    raise InputError(f"the pixel data are broken ({'; '.join(errors)})")


def brief(error: BaseException) -> str:
    """Last line of a codec's error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return printable(lines[-1] if lines else type(error).__name__, 160)


class _Helper:
    """The process that decodes, and the pipes to it."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.owner = 0
        self.lock = threading.Lock()

    def decode(self, request: Mapping[str, Any], stream: bytes, seconds: float) -> NDArray[Any]:
        """Decode one frame in the helper, which is ended when that takes more seconds."""
        with self.lock:
            process = self._running()
            assert process.stdin is not None and process.stdout is not None
            watch = threading.Timer(seconds, process.kill)
            watch.daemon = True
            watch.start()
            try:
                _send(process.stdin, request, stream)
                answer, raw = _receive(process.stdout)
            except (OSError, EOFError, ValueError) as error:
                self.stop()
                raise InputError("the pixel data are broken (the codec crashed or took too long)") from error
            finally:
                watch.cancel()
        if "error" in answer:
            raise InputError(str(answer["error"]))
        return np.asarray(np.frombuffer(bytearray(raw), answer["dtype"]).reshape(answer["shape"]))

    def _running(self) -> subprocess.Popen[bytes]:
        """The process, started if there is none; a forked child of ours must not share its pipes."""
        if self.process is None or self.owner != os.getpid() or self.process.poll() is not None:
            command = [sys.executable, "-I", "-c", _START, json.dumps(sys.path)]
            try:
                self.process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                )
            except OSError as error:
                raise InputError(f"the codecs cannot be started ({error.strerror})") from error
            self.owner = os.getpid()
        return self.process

    def stop(self) -> None:
        """End the process."""
        if self.process is not None and self.owner == os.getpid():
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    try:
                        pipe.close()
                    except OSError:
                        pass
        self.process = None


_HELPER = _Helper()
atexit.register(_HELPER.stop)


def serve(source: IO[bytes], target: IO[bytes]) -> None:
    """Answer requests until the input ends, in the helper process. A codec that prints must not get at the target."""
    target = os.fdopen(os.dup(target.fileno()), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    import warnings

    warnings.simplefilter("ignore")
    while True:
        try:
            request, stream = _receive(source)
        except EOFError:
            return
        try:
            values = _decode(request, stream)
            _send(target, {"dtype": values.dtype.str, "shape": values.shape}, values.tobytes())
        except InputError as error:
            _send(target, {"error": str(error)}, b"")
        except MemoryError:
            _send(target, {"error": "the pixel data do not fit into memory"}, b"")


def _send(pipe: IO[bytes], head: Mapping[str, Any], body: bytes) -> None:
    raw = json.dumps(head).encode()
    pipe.write(struct.pack("<IQ", len(raw), len(body)) + raw)
    pipe.write(body)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    sizes = pipe.read(12)
    if len(sizes) < 12:
        raise EOFError
    head, body = struct.unpack("<IQ", sizes)
    raw, rest = pipe.read(head), pipe.read(body)
    if len(raw) < head or len(rest) < body:
        raise EOFError
    found: dict[str, Any] = json.loads(raw)
    return found, rest
