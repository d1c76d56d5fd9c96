# SPDX-License-Identifier: Apache-2.0
"""The DICOM step: a folder or zip in, an anonymized and protected folder out."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from umed.cases.instance_writer import DISK
from umed.core.config import Settings, make_settings
from umed.core.errors import ConfigError, InputError, UmedError, did_you_mean
from umed.core.types import Progress
from umed.data import files
from umed.deid.identity import Anonymous, Identity
from umed.deid.keys import Key
from umed.deid.profile import load_profile
from umed.dicom.objects import Limits
from umed.dicom.pixels.pixel_data import SYNTAXES
from umed.dicom.read.scan import scan
from umed.release.job import Job, Request
from umed.release.released import Released

logger = logging.getLogger(__name__)


def anonymize(
    input: str | Path,
    output: str | Path,
    *,
    key_file: str | Path,
    protect: bool = False,
    masks: str | Path | None = None,
    profile: str | Path = "basic",
    accept_burned_in: bool = False,
    transfer_syntax: str = "explicit-le",
    recipe: str | Path | Mapping[str, Any] = "default",
    settings: Settings | None = None,
    generators: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    report: bool = True,
    limits: Limits | None = None,
    progress: Progress | None = None,
    **overrides: Any,
) -> Released:
    """De-identify a folder of DICOM files (PS3.15 Annex E), and protect its images too if asked for.

    Args:
        input: folder, any mess of files below it, or a zip of one; never changed.
        output: new folder outside ``input``.
        key_file: secret from ``umed keygen``; the same key gives the same UIDs next year.
        protect: perturb every image series that has a mask; those without are quarantined.
        masks: folder with masks (SEG, RTSTRUCT, NIfTI, PNG) beside those in the input.
        profile: shipped name, several joined by ``+`` (``"longitudinal+device_identity"``), or a YAML file.
        accept_burned_in: release pictures that may hold burned-in text. Look at them first.
        transfer_syntax: of written images, always lossless.
        recipe: of the protection, as in :func:`umed.protect`.
        settings: used as they are instead of the recipe.
        generators: folder of trained generators; nothing is trained then.
        resume: go on with a stopped run; the same bytes in the end.
        overwrite: first delete what umed wrote to ``output``, and only that.
        report: write ``umed/report.html``.
        limits: bounds against hostile input.
        progress: called with a stage, the steps done and the steps in all.
        overrides: any setting of the protection, laid over the recipe.

    Returns:
        What came of each series and file.

    Raises:
        InputError: when the input cannot be read at all, or the output may not be written.
        ConfigError: when a setting is wrong, or a resumed run had another one.
    """
    key = Key.load(Path(key_file))
    if Path(output).resolve() in Path(key_file).resolve().parents:
        raise ConfigError(f"--key-file {key_file}: expected a key outside the output, got one inside. Move it away.")
    identity = Anonymous(key, load_profile(profile), accept_burned_in)
    chosen = make_settings(recipe, overrides) if settings is None else settings
    request = Request(protect, _path(masks), transfer_syntax, chosen, _path(generators))
    return release(
        Path(input), Path(output), identity, request, limits=limits, resume=resume, overwrite=overwrite,
        report=report, progress=progress,
    )  # fmt: skip


def release(
    source: Path,
    output: Path,
    identity: Identity | None,
    request: Request,
    *,
    limits: Limits | None = None,
    resume: bool = False,
    overwrite: bool = False,
    report: bool = True,
    progress: Progress | None = None,
) -> Released:
    """Release a folder under an identity; :func:`anonymize` and ``umed protect`` both end here.

    Args:
        source: folder or zip.
        output: output root.
        identity: ``None`` keeps patients as they are and derives new images.
        request: what is wanted.
        limits: bounds against hostile input.
        resume: go on with a stopped run.
        overwrite: replace an earlier run.
        report: write the report.
        progress: called with a stage, the steps done and the steps in all.

    Returns:
        What came of it.

    Raises:
        InputError: when the input cannot be read at all, or the output may not be written.
        ConfigError: when a setting is wrong, or a resumed run had another one.
    """
    if request.syntax not in SYNTAXES:
        hint = did_you_mean(request.syntax, SYNTAXES)
        raise ConfigError(f"transfer_syntax: expected one of {', '.join(SYNTAXES)}, got {request.syntax!r}.{hint}")
    if not source.exists():
        raise InputError(f"{source}: expected a folder or zip of DICOM files, got nothing. Check the path.")
    files.check_output(source, output, resume=resume or overwrite)
    with tempfile.TemporaryDirectory(prefix="umed-") as work:
        bounds = limits or Limits()
        found = scan(source, Path(work) / "input", bounds, progress)
        if not found.series:
            first = "; ".join(f"{name}: {reason}" for name, reason in found.refused[:3]) or "no file was found"
            raise InputError(f"{source}: expected DICOM files, got none that can be released ({first}).")
        try:
            return Job(found, output, identity, request, bounds, progress).go(resume, overwrite, report)
        except OSError as error:
            if error.errno not in DISK:
                raise
            raise UmedError(
                f"{output}: cannot be written ({error.strerror}). Make room and give --resume to go on."
            ) from error


def _path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)
