# SPDX-License-Identifier: Apache-2.0
"""The DICOM step: a folder or zip in, an anonymized and protected folder out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from umed.cases.source import Request
from umed.core.config import Settings, make_settings
from umed.core.types import Progress
from umed.dicom.objects import Limits
from umed.protect.result import Released
from umed.protect.run import RunOptions, run


def anonymize(
    input: str | Path,
    output: str | Path,
    *,
    key_file: str | Path,
    protect: bool = False,
    masks: str | Path | None = None,
    profile: str | Path = "basic",
    accept_burned_in: bool = False,
    look_for_text: bool = False,
    transfer_syntax: str = "explicit-le",
    recipe: str | Path | Mapping[str, Any] = "default",
    settings: Settings | None = None,
    generators: str | Path | None = None,
    private: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    report: bool = True,
    check: bool = True,
    recipients: str | Path | None = None,
    unlock_dir: str | Path | None = None,
    recipient: str | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    threads: int | None = None,
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
        look_for_text: put series aside in whose pixels tesseract (a program to be installed) reads words.
        transfer_syntax: of written images, always lossless.
        recipe: of the protection, as in :func:`umed.protect`.
        settings: used as they are instead of the recipe.
        generators: folder of trained generators; nothing is trained then.
        private: folder for what must never be published: plan, records, audit, report; ``OUTPUT-private`` if ``None``.
        resume: go on with a stopped run; the same bytes in the end.
        overwrite: first delete what umed wrote to ``output``, and only that.
        report: write ``report.html`` into the private folder.
        check: at the end, do what :func:`umed.check_release` does.
        recipients: public keys of those who may have the pixels without the perturbation, as in :func:`umed.protect`.
        unlock_dir: folder for what gives them back; in ``output`` if ``None``.
        recipient: name of whoever gets this copy, as in :func:`umed.protect`.
        workers: local processes that share the series; the bytes are the same.
        scheduler: address of a Dask scheduler whose workers see both folders, instead of local processes.
        threads: of each local process; the cores divided by the workers if ``None``.
        limits: bounds against hostile input.
        progress: called with a stage, the steps done and the steps in all.
        overrides: any setting of the protection, laid over the recipe.

    Returns:
        What came of each series and file.

    Raises:
        InputError: when the input cannot be read at all, or the output may not be written.
        ConfigError: when a setting is wrong, a resumed run had another one, or tesseract is wanted and missing.
    """
    chosen = make_settings(recipe, overrides) if settings is None else settings
    request = Request(
        Path(input),
        chosen if protect else None,
        masks=None if masks is None else Path(masks),
        key_file=Path(key_file),
        profile=profile,
        accept_burned_in=accept_burned_in,
        look_for_text=look_for_text,
        syntax=transfer_syntax,
        limits=limits,
    )
    options = RunOptions(
        *(generators, resume, overwrite, report, workers, scheduler, threads, key_file, private, check),
        recipients=recipients,
        unlock_dir=unlock_dir,
        recipient=recipient,
    )
    return run(request, Path(output), options, progress=progress)
