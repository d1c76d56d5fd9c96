# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from umed.benchmark.countermeasures.mixing import CleanSubset, EarlyStopping, Mix, ranked
from umed.benchmark.victims.case_tensors import Samples


def published_of(clean: Samples) -> Samples:
    images = tuple(image + 4 for image in clean.images)
    return dataclasses.replace(clean, images=images, scales=tuple(200.0 for _ in images))


def clean_ones(mixed: Samples, clean: Samples) -> set[str]:
    return {n for n, a, b in zip(mixed.ids, mixed.images, clean.images, strict=True) if torch.equal(a, b)}


def test_mix_exchanges_that_many_cases_and_larger_shares_contain_smaller_ones(
    samples: Callable[..., Samples],
) -> None:
    clean = samples(6, 6, cases=20)
    published = published_of(clean)
    found = [clean_ones(Mix(share=s).select(published, clean, 3), clean) for s in (0, 0.1, 0.25, 0.5, 1)]
    assert [len(one) for one in found] == [0, 2, 5, 10, 20]
    assert all(a <= b for a, b in zip(found, found[1:], strict=False))
    mixed = Mix(share=0.25).select(published, clean, 3)
    assert mixed.ids == published.ids
    assert {n for n, scale in zip(mixed.ids, mixed.scales, strict=True) if scale == 255} == found[2]
    assert clean_ones(Mix(share=0.25).select(published, clean, 4), clean) != found[2]


def test_the_control_trains_on_the_same_clean_cases_and_on_nothing_else(samples: Callable[..., Samples]) -> None:
    clean = samples(6, 6, cases=20)
    published = published_of(clean)
    for share in (0.1, 0.4):
        alone = CleanSubset(share=share).select(published, clean, 3)
        assert set(alone.ids) == clean_ones(Mix(share=share).select(published, clean, 3), clean)
        assert clean_ones(alone, clean.pick(alone.ids)) == set(alone.ids)
    assert len(CleanSubset(share=0.01).select(published, clean, 3).ids) == 1


def test_a_part_of_the_cases_keeps_its_order() -> None:
    names = [f"case_{k}" for k in range(30)]
    order = ranked(names, 0)
    assert sorted(order) == sorted(names) and ranked(names[::-1], 0) == order
    few = names[5:15]
    assert ranked(few, 0) == [name for name in order if name in few]


def test_early_stopping_waits_for_that_many_checkpoints_without_a_new_best() -> None:
    scores = [0.2, 0.5, 0.4, 0.6, 0.5, 0.55, 0.1]
    stops = [EarlyStopping(patience=2).stop(scores[: k + 1]) for k in range(len(scores))]
    assert stops == [False, False, False, False, False, True, True]
    assert not EarlyStopping(patience=4).stop(scores) and not EarlyStopping().stop([])
    nan = float("nan")
    assert EarlyStopping(patience=1).stop([0.3, nan]) and not EarlyStopping(patience=1).stop([nan, 0.3])
