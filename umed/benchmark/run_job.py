# SPDX-License-Identifier: Apache-2.0
"""Does one job of a benchmark. Results are files, written whole or not at all; what is there already is not redone."""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from umed.benchmark.countermeasures.interface import Chain, make_countermeasure
from umed.benchmark.countermeasures.resampling import nearest, resize
from umed.benchmark.environment import environment
from umed.benchmark.grid.case_split import class_names, subset_dataset
from umed.benchmark.grid.cut_sets import CutSet
from umed.benchmark.grid.jobs import CellJob, PretrainJob, PriceJob, ProtectJob
from umed.benchmark.results.cells import Cell, Scores
from umed.benchmark.victims.case_tensors import Change, Samples, load_samples, window_of
from umed.benchmark.victims.pretrained import freeze_encoder, load_pretrained, read_checkpoint
from umed.benchmark.victims.ready import Ready, make_ready, own_size
from umed.benchmark.victims.scoring import Answers, chance_table, mean_dsc, predict, score
from umed.benchmark.victims.victim_recipe import EXTERNAL, Recipe
from umed.benchmark.victims.victim_training import StepProgress, VictimTraining, fresh_victim, train_victim
from umed.cases.records import KEY, Store, make_private
from umed.core.device import pick_device
from umed.core.errors import VerificationError
from umed.core.keyfile import Key
from umed.core.types import Progress
from umed.data.files import alone, atomic
from umed.networks.tensor_files import save_tensors
from umed.protect.run import protect

T = TypeVar("T")
SHOWN = 3
"""Test cases whose predictions are kept for the report."""
SHELF: OrderedDict[Hashable, Any] = OrderedDict()
"""Cases in memory that the next job of this process probably needs again; the least recently used leave first."""
ROOM = 6


def _once(key: Hashable, make: Callable[[], T]) -> T:
    if key in SHELF:
        SHELF.move_to_end(key)
    else:
        SHELF[key] = make()
        while len(SHELF) > ROOM:
            SHELF.popitem(last=False)
    found: T = SHELF[key]
    return found


def run_protect(job: ProtectJob, progress: Progress | None = None) -> str:
    """Protect the published cases of a data set, and only those; gives the folder.

    Raises VerificationError when a case could not be protected, since the victim would then train on fewer cases.
    """
    with alone(job.folder.with_name(f"{job.folder.name}.lock")):  # shards of one benchmark may meet here
        return _protect(job, progress)


def _protect(job: ProtectJob, progress: Progress | None) -> str:
    if job.done:
        return str(job.folder)
    mark = job.folder.name.rpartition("-")[2]
    store = Store(job.folder)
    if not store.path(KEY).is_file():
        make_private(store.folder)
        known_key(job.settings.seed).write(store.path(KEY))
    source = subset_dataset(job.data.root, job.data.published, job.out / "data" / f"{job.data.name}-published-{mark}")
    result = protect(
        source,
        job.folder,
        settings=job.settings,
        generators=job.generators,
        resume=store.begun,
        check=False,
        progress=progress,
    )
    failed = [outcome for outcome in result.outcomes if outcome.status in ("failed", "skipped")]
    if failed:  # tried again by the next run
        raise VerificationError(
            f"{job.data.name}: expected all {len(job.data.published)} published cases to be protected by {job.label}, "
            f"but {len(failed)} were not, first {failed[0].id}: {failed[0].reason}"
        )
    with atomic(job.stamp) as temporary:
        temporary.touch()
    return str(job.folder)


def known_key(seed: int) -> Key:
    """The key of a benchmark: no secret at all, so that its figures can be repeated.

    Args:
        seed: of the protection's settings; another seed draws other codes.
    """
    return Key(hashlib.sha256(f"umed benchmark, seed {seed}".encode()).digest())


def run_pretrain(job: PretrainJob, progress: StepProgress | None = None) -> str:
    """Train a victim on the clean cases of another data set, and keep its weights; gives the file."""
    with alone(job.file.with_name(f"{job.file.name}.lock")):
        if not job.done:
            chain = Chain()
            cases = make_ready(_clean(job.data).pick(job.data.split.train), chain, job.recipe.resize)
            network, _, step = fresh_victim(job.recipe, cases, job.seed)
            train_victim(
                network,
                cases,
                recipe=job.recipe,
                divisor=step,
                seed=job.seed,
                device=pick_device(job.device),
                progress=progress,
            )
            _save(network, job.file)
    return str(job.file)


def run_cell(job: CellJob, progress: StepProgress | None = None) -> str:
    """Train one victim and judge it on clean test cases; gives the JSON file."""
    # Every shard needs the judge of the price, so two may meet there.
    with alone(job.weights.with_suffix(".lock")) if job.keep_weights else nullcontext():
        return _cell(job, progress)


def _cell(job: CellJob, progress: StepProgress | None) -> str:
    if job.done:
        return str(job.file)
    if job.recipe.net in EXTERNAL:
        from umed.benchmark.victims.external import run_external

        return run_external(job)
    begin = time.perf_counter()
    chain = Chain([make_countermeasure(name, options) for name, options in job.steps])
    train, validation, test = _cases(job, chain)
    recipe = _scaled(job.recipe, 1.0 if isinstance(job.recipe.resize, int) else chain.scale)  # else his grid is fixed
    network, _, step = fresh_victim(recipe, train, job.spec.seed)
    frozen, notes = _pretrain(network, job)
    training = train_victim(
        network,
        train,
        recipe=recipe,
        validation=validation,
        chain=chain,
        divisor=step,
        frozen=frozen,
        seed=job.spec.seed,
        device=pick_device(job.device),
        progress=progress,
    )
    choices, answers, seconds = _judge(network, training, test, job)
    pictures = _draw(job, test, answers)
    if job.keep_weights:
        _save(network, job.weights)
    seconds |= {"train": training.train_seconds, "total": time.perf_counter() - begin}
    seconds["predict"] += training.predict_seconds
    cell = Cell(
        spec=job.spec,
        classes=class_names(job.data.root, test.classes, _clean(job.data).values),
        cases=test.ids,
        choices=choices,
        loss=training.curve(),
        flat=training.flat,
        validation=tuple((at, one.get("clean"), one.get("protected")) for at, one in training.validation),
        seconds={name: round(value, 3) for name, value in seconds.items()},
        environment=environment(),
        unit=test.unit,
        pictures=pictures,
        notes=(*notes, *filter(None, [training.remark()])),
        broken=training.broken,
        chance=mean_dsc(chance_table(test.truths, test.classes)),
    )
    return str(cell.write(job.out / "cells"))


def run_price(job: PriceJob, progress: Progress | None = None) -> str:
    """Measure what a protection costs people and authorised users; gives the JSON file."""
    from umed.benchmark.price.measure import measure_price

    if not job.done:
        predictor = None if job.judge is None else _predictor(job.judge)
        data = job.protected.data
        # The validation cases come first: the clean-trained victim has not seen them.
        price = measure_price(
            data.root,
            job.protected.folder,
            data.published,
            unseen=data.split.validation,
            predict=predictor,
            rules=data.rules,
            values=None if predictor is None else _clean(data).values,
            progress=progress,
        )
        content = {
            "data": data.name,
            "method": job.protected.label,
            "measures": price.to_dict(),
            "environment": environment(),
        }
        with atomic(job.file) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return str(job.file)


def _originals(data: CutSet) -> tuple[Samples, tuple[float, float] | None]:
    """All cases of a data set, clipped to the CT window of those that are published, and that window."""

    def make() -> tuple[Samples, tuple[float, float] | None]:
        samples = load_samples(data.root, data.ids, shrinking(data.shrink), data.rules)
        window = window_of(samples.pick(data.published))
        return samples.clip(window), window

    return _once((data.root, data.files, data.split, data.shrink), make)


def held_out_labels(job: CellJob) -> tuple[tuple[str, ...], tuple[Tensor, ...], int]:
    """Ids and labels ``(*spatial)`` uint8 of a cell's test cases as they were judged, and the number of classes."""
    test = _clean(job.data).pick(job.data.split.test)
    return test.ids, test.labels, test.classes


def shrinking(most: int | None) -> Change | None:
    """What each case goes through as it is read; see :attr:`umed.benchmark.grid.cut_sets.CutSet.shrink`.

    Args:
        most: longest side in pixels or voxels of an image ``(C, *spatial)`` and its label; ``None`` changes nothing.
    """
    if most is None:
        return None

    def shrink(image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        if max(label.shape) <= most:
            return image, label
        sizes = own_size(label.shape, most)
        return resize(image, sizes), nearest(label, sizes)

    return shrink


def _clean(data: CutSet) -> Samples:
    return _originals(data)[0]


def _protected(job: ProtectJob) -> Samples:
    """What was published, clipped like the originals and with their scales and classes."""

    def make() -> Samples:
        clean, window = _originals(job.data)
        rules, values = job.data.rules, clean.values
        samples = load_samples(job.folder, job.data.published, shrinking(job.data.shrink), rules, values).clip(window)
        return replace(samples, classes=clean.classes, scales=clean.pick(samples.ids).scales)

    return _once((job.folder, job.data.shrink), make)


def _cases(job: CellJob, chain: Chain) -> tuple[Ready, dict[str, Ready], Ready]:
    """Training, validation and test cases as the victim sees them, kept for the next victim."""
    split, seed = job.data.split, job.spec.seed
    protected = None if job.protected is None else job.protected.folder
    resize, drawn = job.recipe.resize, seed if chain.seeded else None
    key = (job.data.root, job.data.files, job.data.shrink, split, protected, json.dumps(job.steps), resize, drawn)

    def make() -> tuple[Ready, dict[str, Ready], Ready]:
        clean = _clean(job.data)
        published = clean.pick(job.data.published) if job.protected is None else _protected(job.protected)
        selected = chain.select(published.pick(split.train), clean.pick(split.train), seed)
        chain.fit(selected, seed, pick_device(job.device))
        validation = {"clean": make_ready(clean.pick(split.validation), chain, resize)}
        if protected is not None:
            validation["protected"] = make_ready(published.pick(split.validation), chain, resize)
        return make_ready(selected, chain, resize), validation, make_ready(clean.pick(split.test), chain, resize)

    return _once(key, make)


def _pretrain(network: nn.Module, job: CellJob) -> tuple[list[nn.Module], tuple[str, ...]]:
    """Load pretrained weights; gives what stays frozen, and what to say about it."""
    wanted = job.recipe.pretrained
    if wanted is None:
        return [], ()
    path = Path(wanted.checkpoint) if job.pretrained is None else job.pretrained.file  # type: ignore[arg-type]
    loaded = load_pretrained(network, read_checkpoint(path))
    notes = [f"pretrained: {loaded.loaded} tensors loaded, {len(loaded.skipped)} of another shape left as they were"]
    frozen = freeze_encoder(network, job.recipe.net) if job.recipe.freeze == "encoder" else []
    if frozen:
        notes.append("encoder frozen")
    return list(frozen), tuple(notes)


def _scaled(recipe: Recipe, scale: float) -> Recipe:
    """Let the crops follow a change of resolution."""
    if recipe.patch is None or scale == 1.0:
        return recipe
    return replace(recipe, patch=tuple(max(1, round(size * scale)) for size in recipe.patch))


def _judge(
    network: nn.Module, training: VictimTraining, test: Ready, job: CellJob
) -> tuple[dict[str, Scores], Answers, dict[str, float]]:
    """Scores of every choice; a checkpoint that two choices share is judged once. Ends with the last weights."""
    seconds = {"predict": 0.0, "score": 0.0}
    known: dict[int, Scores] = {}
    answers: Answers = ()
    for choice in sorted(training.steps, key=lambda name: name == "last"):
        step = training.steps[choice]
        network.load_state_dict(training.weights[choice])
        if step not in known or choice == "last":
            begin = time.perf_counter()
            sizes = [truth.shape for truth in test.truths]
            device = pick_device(job.device)
            answers = predict(network, test.images, device, training.window, sizes, job.recipe.bfloat16)
            middle = time.perf_counter()
            known[step] = score(answers, test, step, job.tolerance)
            seconds["predict"] += middle - begin
            seconds["score"] += time.perf_counter() - middle
    return {choice: known[step] for choice, step in training.steps.items()}, answers, seconds


def _draw(job: CellJob, test: Ready, answers: Answers) -> str:
    """Keep what the last checkpoint says about some test cases: the slice with most foreground, as small pictures."""
    arrays = shown_slices(_clean(job.data).pick(test.ids), test.truths, answers, SHOWN)
    with atomic(job.pictures) as temporary:
        np.savez_compressed(temporary, **arrays)
    return job.pictures.relative_to(job.out).as_posix()


def shown_slices(clean: Samples, truths: Sequence[Tensor], answers: Answers, most: int) -> dict[str, Any]:
    """Images, truths and answers of some cases, evenly spaced, of volumes the slice with most foreground.

    Args:
        clean: the cases.
        truths: class of each voxel of each, ``(*spatial)``.
        answers: the same by a victim.
        most: cases at most.

    Returns:
        ``image_K`` uint8, ``truth_K``, ``prediction_K`` and ``id_K``, as
        :func:`umed.benchmark.report.predictions.each_picture` takes them.
    """
    arrays: dict[str, Any] = {}
    for number, row in enumerate(np.linspace(0, len(clean.ids) - 1, min(most, len(clean.ids))).astype(int)):
        image, truth, answer = clean.images[row].numpy(), truths[row].numpy(), answers[row].numpy()
        if truth.ndim == 3:
            best = int((truth > 0).sum(axis=(0, 1)).argmax())
            image, truth, answer = image[..., best], truth[..., best], answer[..., best]
        low, high = np.percentile(image, (0.5, 99.5))
        grey = np.clip((image - low) / max(high - low, 1e-9) * 255, 0, 255).astype(np.uint8)
        shown = np.moveaxis(grey, 0, -1) if len(grey) == 3 else grey[0]
        arrays |= {f"image_{number}": shown, f"truth_{number}": truth, f"prediction_{number}": answer}
        arrays[f"id_{number}"] = np.array(clean.ids[row])
    return arrays


def _predictor(job: CellJob) -> Callable[[Tensor], Tensor]:
    """A clean-trained victim as a function of one image in physical units."""
    clean, clipped = _originals(job.data)
    chain = Chain()
    ready = make_ready(clean.pick(job.data.split.train), chain, job.recipe.resize)
    network, window, _ = fresh_victim(job.recipe, ready, job.spec.seed)
    network.load_state_dict(torch.load(job.weights, map_location="cpu", weights_only=True))
    device = pick_device(job.device)
    network.to(device)

    def segment(image: Tensor) -> Tensor:
        label = torch.zeros(image.shape[1:], dtype=torch.uint8)
        one = make_ready(Samples(("one",), (image,), (label,), clean.classes).clip(clipped), chain, job.recipe.resize)
        return predict(network, one.images, device, window, [label.shape], job.recipe.bfloat16)[0]

    return segment


def _save(network: nn.Module, path: Path) -> None:
    save_tensors({key: value.cpu() for key, value in network.state_dict().items()}, path)
