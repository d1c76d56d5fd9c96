# SPDX-License-Identifier: Apache-2.0
"""The workflows that the configurations in ``monai_bundle/`` run; the same code as the commands of ``umed``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from umed.core.errors import ConfigError, InputError
from umed.core.progress import progress_bar
from umed.core.types import Progress
from umed.data.dicom_input import require_dicom
from umed.monai.bundle import is_bundle_run, one_line
from umed.protect.manifest import read_manifest

if TYPE_CHECKING:
    from umed.protect.result import Result


def run_train_generator(
    data: str | Path,
    output: str | Path,
    *,
    recipe: str | Path = "unseg",
    masks: str | Path | None = None,
    device: Any = None,
    encoder: str | None = None,
    sam: str | Path | None = None,
    surrogate: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    seed: int | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> Any:
    """Train UnSeg's generator and print the summary; the same code as ``umed train-generator``.

    Args:
        data: data set with masks, or a folder or zip of DICOM files.
        output: folder for ``unseg.pt``.
        recipe: ``"unseg"``, ``"unseg_paper"`` or a YAML file.
        masks: for DICOM: folder with masks beside those in ``data``.
        device: where to train; each process of a distributed run has its own.
        encoder: size of Segment Anything; the recipe's if ``None``.
        sam: its pretrained weights.
        surrogate: weights that the surrogate's encoder starts from.
        options: of the method.
        training: laid over the recipe's.
        seed: of everything that is drawn.
        overwrite: replace a generator that is there.
        quiet: no progress bar.

    Returns:
        The :class:`umed.protect.train.Trained`.

    Raises:
        UmedError: when it cannot be trained; one line and an exit code on monai.bundle's command line.
    """
    from umed.core.config import make_settings
    from umed.protect.train import is_first, train_generator

    def work() -> Any:
        sizes = {} if encoder is None else {"encoder": encoder}
        changes: dict[str, Any] = {"method": "unseg", "method_options": {**sizes, **(options or {})}}
        changes |= {"training": dict(training or {}), **({} if seed is None else {"seed": seed})}
        changes |= {} if device is None else {"device": str(device)}
        settings = make_settings(recipe, changes)
        starts = {"masks": masks or None, "sam": sam or None, "surrogate": surrogate or None}
        with progress_bar(quiet or not is_first()) as progress:
            done = train_generator(data, output, settings=settings, overwrite=overwrite, progress=progress, **starts)
        if is_first():
            print(done.summary())
        return done

    return one_line(work)


def run_protect(
    input: str | Path,
    output: str | Path,
    *,
    recipe: str | Path = "default",
    generators: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    probe: bool = False,
    probe_steps: int | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Any:
    """Protect a data set and print the summary; the same code as ``umed protect``.

    Args:
        input: data set.
        output: new folder.
        recipe: name or file.
        generators: folder of trained generators; nothing is trained then.
        resume: go on with a stopped run.
        overwrite: replace an earlier run.
        probe: also train two small victims, on the originals and on the protected images, and report their DSC.
        probe_steps: training steps of each.
        workers: local processes that share the cases.
        scheduler: address of a Dask scheduler, instead of local processes.
        quiet: no progress bar.
        settings: any setting, laid over the recipe; ``None`` leaves the recipe's.

    Returns:
        The :class:`umed.protect.run.Result`.

    Raises:
        UmedError: when nothing could be protected; one line and an exit code on monai.bundle's command line.
    """
    from umed.protect.run import protect

    def work() -> Any:
        given = {key: value for key, value in settings.items() if value is not None}
        with progress_bar(quiet) as progress:
            result = protect(
                input,
                output,
                recipe=recipe,
                generators=generators,
                resume=resume,
                overwrite=overwrite,
                workers=workers,
                scheduler=scheduler,
                progress=progress,
                **given,
            )
            line = add_probe(result, input, probe_steps, progress) if probe and not result.exit_code % 3 else ""
        print(*filter(None, [line, result.summary()]), sep="\n")
        if result.exit_code and is_bundle_run(sys.argv):
            raise SystemExit(result.exit_code)
        return result

    return one_line(work)


def add_probe(result: Result, source: str | Path, steps: int | None = None, progress: Progress | None = None) -> str:
    """Measure a finished run with a quick probe victim, and write the report again with what was found.

    Args:
        result: the run.
        source: data set that was protected.
        steps: training steps of each victim.
        progress: called with stage, done, total.

    Returns:
        One line for people; it says so when there are too few cases.
    """
    from umed.benchmark.probe import probe

    try:
        found = probe(source, result.output, steps=steps, device=result.plan.device, progress=progress)
    except InputError as error:
        return f"no probe: {error}"
    if result.report is not None:
        from umed.report.protect_page import write_report

        means = {"clean": found.before, "protected": found.after}
        write_report(read_manifest(result.output), Path(source), result.output, result.report, probe=means)
    return found.summary()


def run_benchmark(
    grid: str | Path,
    output: str | Path,
    *,
    data: str | Sequence[str] | Mapping[str, str] = (),
    generators: Mapping[str, str] | None = None,
    changes: Mapping[str, Any] | None = None,
    device: str = "auto",
    workers: int = 1,
    scheduler: str | None = None,
    dry_run: bool = False,
    quiet: bool = False,
) -> Any:
    """Run a benchmark grid and print where its report lies; the same code as ``umed benchmark``.

    Args:
        grid: name of a shipped grid, or a YAML file.
        output: folder for cells and report; a stopped run goes on there.
        data: folders of the grid's data sets: by name, a list of ``NAME=FOLDER``, or one folder.
        generators: trained generators of methods of the grid, by name.
        changes: laid over the grid.
        device: ``"auto"`` or a torch device.
        workers: local processes.
        scheduler: address of a Dask scheduler.
        dry_run: only check the grid, and list its cells with their time.
        quiet: no line after each cell.

    Returns:
        The :class:`umed.benchmark.benchmark.Ended`, or the preview.

    Raises:
        UmedError: when the grid is wrong; one line and an exit code on monai.bundle's command line.
    """
    from umed.benchmark.benchmark import benchmark, preview, print_line

    folders = [data] if isinstance(data, str) and data else list(data or ())
    if isinstance(data, Mapping):
        folders = [f"{name}={folder}" for name, folder in data.items() if folder]

    def work() -> Any:
        common: dict[str, Any] = {
            "data": folders,
            "generators": [f"{name}={path}" for name, path in (generators or {}).items()],
            "changes": changes,
            "device": device,
            "workers": workers,
        }
        if dry_run:
            seen = preview(grid, output, **common)
            print(seen.summary())
            return seen
        ended = benchmark(grid, output, **common, scheduler=scheduler, say=None if quiet else print_line)
        print(ended.summary())
        if ended.exit_code and is_bundle_run(sys.argv):
            raise SystemExit(ended.exit_code)
        return ended

    return one_line(work)


def run_anonymize(
    input: str | Path,
    output: str | Path,
    *,
    key_file: str | Path,
    protect: bool = True,
    masks: str | Path | None = None,
    profile: str | Path = "basic",
    accept_burned_in: bool = False,
    transfer_syntax: str = "explicit-le",
    recipe: str | Path = "default",
    generators: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> Any:
    """De-identify and protect a folder of DICOM files and print the summary; the same code as ``umed anonymize``.

    Args:
        input: folder or zip.
        output: new folder.
        key_file: secret from ``umed keygen``.
        protect: perturb the images too.
        masks: folder with masks beside those in the input.
        profile: of the de-identification.
        accept_burned_in: release pictures that may hold burned-in text.
        transfer_syntax: of written images.
        recipe: of the protection.
        generators: folder of trained generators; nothing is trained then.
        resume: go on with a stopped run.
        overwrite: replace an earlier run.
        quiet: no progress bar.
        settings: any setting of the protection, laid over the recipe; ``None`` leaves the recipe's.

    Returns:
        The :class:`umed.release.anonymize.Released`.

    Raises:
        UmedError: when nothing could be released; one line and an exit code on monai.bundle's command line.
    """

    def work() -> Any:
        if not (input and output and key_file):
            raise ConfigError("expected dataset_dir, output_dir and key_file, got less. umed keygen KEY makes a key.")
        require_dicom()
        from umed.release.anonymize import anonymize

        given = {key: value for key, value in settings.items() if value is not None}
        with progress_bar(quiet) as progress:
            result = anonymize(
                input,
                output,
                key_file=key_file,
                protect=protect,
                masks=masks,
                profile=profile,
                accept_burned_in=accept_burned_in,
                transfer_syntax=transfer_syntax,
                recipe=recipe,
                generators=generators,
                resume=resume,
                overwrite=overwrite,
                progress=progress,
                **given,
            )
        print(result.summary())
        if result.exit_code and is_bundle_run(sys.argv):
            raise SystemExit(result.exit_code)
        return result

    return one_line(work)


def run_verify(
    input: str | Path,
    output: str | Path,
    *,
    key_file: str | Path | None = None,
    masks: str | Path | None = None,
    quiet: bool = False,
) -> Any:
    """Verify a protected data set and print what was found; the same code as ``umed verify``.

    Args:
        input: data set that was protected.
        output: what was written.
        key_file: for DICOM: key of an anonymized output.
        masks: for DICOM: masks that the run was given.
        quiet: no progress bar.

    Returns:
        The :class:`umed.protect.verify.Verification`.

    Raises:
        UmedError: when it cannot be checked; one line and exit code 1 on monai.bundle's command line, where a broken
            promise also gives 1.
    """
    from umed.protect.verify import verify

    def work() -> Any:
        with progress_bar(quiet) as progress:
            found = verify(Path(input), Path(output), key_file=key_file, masks=masks, progress=progress)
        print(found.summary())
        if not found.ok and is_bundle_run(sys.argv):
            raise SystemExit(1)
        return found

    return one_line(work)
