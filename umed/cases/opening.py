# SPDX-License-Identifier: Apache-2.0
"""Opens a data set of any kind; the libraries for DICOM are imported only where they are needed."""

from __future__ import annotations

from contextlib import AbstractContextManager

from umed.cases.file_source import open_files
from umed.cases.source import Request, Source
from umed.core.types import Progress
from umed.data.dicom_input import takes_dicom


def is_series(request: Request) -> bool:
    """Whether a request is for DICOM series; then the libraries for them are there.

    Raises:
        ConfigError: when masks are given for another kind, or the libraries are missing.
    """
    if request.layout is not None:
        return False
    return request.key_file is not None or takes_dicom(request.path, request.masks)


def open_source(request: Request, *, progress: Progress | None = None) -> AbstractContextManager[Source]:
    """Open a data set of any kind; members of a zip are there as long as the context is.

    Args:
        request: what and how.
        progress: called with ``"scan"`` for each DICOM file, with ``"look"`` for each case of files that is looked at.

    Returns:
        Context manager of the source.

    Raises:
        ConfigError: when a setting does not go with it.
        InputError: when nothing can be read.
    """
    if is_series(request):
        from umed.cases.series_source import open_series

        return open_series(request, progress=progress)
    return open_files(request, progress=progress)
