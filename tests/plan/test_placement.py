# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from umed.networks.carriers import check_carriers
from umed.networks.secret_carriers import draw_carrier, parse_family
from umed.plan import placement
from umed.plan.band_spectrum import CORNER, EDGES, PERIODS, CaseSpectrum, Covariances
from umed.plan.placement import (
    CARRIER_RMS,
    FLOOR,
    LIMITS,
    SURE,
    Scene,
    best_place,
    carrier_at,
    choose_carriers,
    nature_words,
    place_at,
    place_of,
    place_words,
)
from umed.plan.transfer import WEIGHTS

COLOUR = [0.5, 0.6, 0.8, 0.9, 1.0, 1.1, 1.4, 1.5, 0.05]
LIGHT = [1.2, 1.8, 2.4, 2.7, 2.8, 3.3, 3.8, 4.2, 0.1]


def scene(
    colour: list[float] | None = None, light: list[float] = LIGHT, *, extent: float = 130, dims: int = 2
) -> Scene:
    """Of pictures whose rms in each band, of 255, is known along opponent colours and in brightness."""
    channels = 1 if colour is None else 3
    found = np.zeros((CORNER + 1, channels, channels))
    for band in range(CORNER + 1):
        if colour is None:
            found[band] = light[band] ** 2
            continue
        # Power along (1, -1, 1) and along (1, 1, 1) less what that holds of the first.
        first, second = np.array([1.0, -1.0, 1.0]), np.ones(3)
        basis = np.stack([first, second], 1)
        dual = np.linalg.pinv(basis.T)
        wanted = np.diag([(3 * colour[band]) ** 2, (3 * light[band]) ** 2])
        found[band] = dual @ wanted @ dual.T
    part = Covariances(found, found, extent)
    one = CaseSpectrum(part, part if dims == 3 else None, 200.0, 255.0, 0.1, 0.01)
    kind = "other" if colour is None else "colour"
    return Scene((one,), kind, channels, dims, 256, colour is not None, "dtype")


def test_nature_is_what_was_put_in() -> None:
    nature = scene(COLOUR).nature
    assert np.allclose(255 * nature["opponent colours"], np.maximum(COLOUR, 255 * FLOOR))
    assert np.allclose(255 * nature["brightness"], LIGHT)


def test_loudness_is_code_over_nature_after_the_pipeline() -> None:
    place = place_at(scene(COLOUR), "opponent colours", PERIODS[3], 4 / 255)
    assert place is not None and place.band == 3
    ratio = 4 * CARRIER_RMS / COLOUR[3]
    assert place.loudness == pytest.approx(ratio * place.transfer.threats["nnunet"])
    assert place.score == pytest.approx(place.transfer.heard(ratio, SURE)) and 0 < place.score < 1
    twice = place_at(scene(COLOUR), "opponent colours", PERIODS[3], 8 / 255)
    assert twice is not None and twice.loudness == pytest.approx(2 * place.loudness)
    assert place_at(scene(COLOUR), "brightness", 40.0, 4 / 255) is None, "longer than any band"


def test_colour_pictures_get_opponent_colours_where_they_are_quiet_and_pass() -> None:
    name, place = best_place(scene(COLOUR), 4 / 255) or pytest.fail("no place")
    assert name.endswith("c") and place.direction == "opponent colours" and place.loudness > 3
    assert 6 <= place.period <= 130 / 8, "JPEG takes finer colour away, and coarser is a tint"
    quiet = [*COLOUR]
    quiet[4] = 0.05
    moved = best_place(scene(quiet), 4 / 255)
    assert moved is not None and moved[1].band == 4 != place.band, "where nature is quiet the code goes"


def test_a_louder_code_that_filters_take_away_is_not_chosen() -> None:
    fine_is_quiet = [2.0, 2.0, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 2.0]
    loud = scene(fine_is_quiet, extent=136)
    name, place = best_place(loud, 8 / 255, "strong") or pytest.fail("no place")
    finer = place_at(loud, "opponent colours", PERIODS[4], 8 / 255)
    assert finer is not None and finer.loudness > place.loudness > SURE and finer.period < place.period
    assert finer.transfer.threats["jpeg50"] < 0.5 < 0.8 < place.transfer.least
    assert finer.transfer.worst == "jpeg50" and f"JPEG 50, leaves {finer.transfer.least:.0%}" in place_words(finer)
    assert set(placement.FILTERS) == set(WEIGHTS)


def test_brightness_is_taken_where_colours_are_loud() -> None:
    found = best_place(scene([20.0] * 9, [1.0] * 9), 4 / 255, "strong")
    assert found is not None and found[1].direction == "brightness" and not found[0].endswith("c")


@pytest.mark.parametrize("extent", [20, 40, 80, 160])
def test_periods_follow_the_roi(extent: float) -> None:
    found = best_place(scene(COLOUR, extent=extent), 4 / 255)
    assert found is not None and found[1].period <= max(extent / 8, EDGES[1]) and EDGES[found[1].band] <= extent / 3


def test_what_would_be_seen_is_not_chosen() -> None:
    bright = scene(None, [0.05] * 9, extent=300)
    found = best_place(bright, 16 / 255, "strong")
    seen = [place_at(bright, "grey values", period, 16 / 255) for period in PERIODS]
    assert any(place is not None and place.visibility > LIMITS["strong"] for place in seen)
    assert found is None or found[1].visibility <= LIMITS["strong"]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("direction", list(placement.FAMILIES))
def test_carriers_are_real_ones_and_lie_in_their_band(direction: str, dims: int) -> None:
    for band in range(CORNER):
        name, period = carrier_at(direction, band, dims)
        check_carriers([name], dims)
        assert EDGES[band] * 0.95 < period < EDGES[band + 1]
    name, period = carrier_at(direction, 3, dims)
    size = (128,) * 2 if dims == 2 else (64,) * 3
    box = tuple(slice(0, one) for one in size)
    drawn = draw_carrier(parse_family(name), 3, box, np.random.default_rng(0)).at(box)[0].numpy()
    spectrum = np.abs(np.fft.fftn(drawn))
    peak = np.array(np.unravel_index(spectrum.argmax(), size))
    length = np.linalg.norm(np.minimum(peak, np.array(size) - peak) / np.array(size))
    assert 1 / length == pytest.approx(period, rel=0.2)


def test_the_rms_of_a_carrier_is_what_generators_lay_out() -> None:
    for name in ("plaid8", "wave6", "plaid14c"):
        box = (slice(0, 128), slice(0, 128))
        drawn = draw_carrier(parse_family(name), 3, box, np.random.default_rng(0)).at(box)
        laid = torch.tanh(2.5 * drawn) * 0.95  # gain, and the amplitude between floor and 1
        assert float(laid.square().mean().sqrt()) == pytest.approx(CARRIER_RMS, rel=0.07)


def test_named_carriers_are_found_in_the_spectrum() -> None:
    colour, grey, solid = scene(COLOUR), scene(None), scene(None, dims=3)
    periods = {"wave6c": 6.0, "plaid6": 6 / 2**0.5, "wave8+sum3+drift48": 8.0, "corner8c+cells16": 2 / 2**0.5}
    for name, period in periods.items():
        place = place_of(colour, name, 4 / 255)
        assert place is not None and place.period == pytest.approx(period)
        assert place.direction == ("opponent colours" if name.split("+")[0].endswith("c") else "brightness")
    in_3d = place_of(solid, "plaid6", 4 / 255)
    assert in_3d is not None and in_3d.period == pytest.approx(6 / 3**0.5)
    corner = place_of(grey, "corner16", 4 / 255)
    assert corner is not None and corner.band == CORNER and corner.transfer.threats["half"] == 0
    assert place_of(grey, "2", 4 / 255) is None and place_of(grey, "wave60", 4 / 255) is None


def test_the_table_decides_who_follows_the_placement(monkeypatch: pytest.MonkeyPatch) -> None:
    for flag in (False, True):
        monkeypatch.setattr(placement, "PLACED", {("colour", "invisible"): flag})
        chosen = choose_carriers(scene(COLOUR), 4 / 255)
        best = best_place(scene(COLOUR), 4 / 255)
        assert best is not None and chosen == ((best[0],) if flag else None)


def test_unknown_bands_are_never_chosen_and_nothing_is_none() -> None:
    full = scene(COLOUR)
    only = np.full_like(full.spectra[0].plane.inside, np.nan)
    only[4] = full.spectra[0].plane.inside[4]
    part = Covariances(only, only, 130)
    found = best_place(dataclasses.replace(full, spectra=(dataclasses.replace(full.spectra[0], plane=part),)), 4 / 255)
    assert found is not None and found[1].band == 4
    blank = Covariances(np.full_like(only, np.nan), np.full_like(only, np.nan), 130)
    nothing = dataclasses.replace(full, spectra=(dataclasses.replace(full.spectra[0], plane=blank),))
    assert best_place(nothing, 4 / 255) is None and "unknown" in nature_words(nothing)


def test_words_carry_the_figures() -> None:
    place = place_at(scene(COLOUR), "opponent colours", PERIODS[3], 4 / 255)
    assert place is not None
    words = place_words(place)
    assert "rms 3.4 of 255 against nature's 0.90" in words and f"{place.loudness:.1f} times as loud" in words
    assert "0.9/0.9 (6-8 px)" in nature_words(scene(COLOUR)) and "ROI 130 px across" in nature_words(scene(COLOUR))


def test_colour_codes_are_no_finer_than_a_sixteenth_of_the_roi_however_quiet_nature_is_there() -> None:
    quiet = [0.05, 0.05, 0.05, *COLOUR[3:]]
    for strength, longest in (("invisible", 1 / 8), ("strong", 1 / 4)):
        found = best_place(scene(quiet, extent=160), 4 / 255, strength)
        assert found is not None and 1 / 16 <= found[1].period / 160 <= longest
