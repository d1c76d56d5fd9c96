# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from umed.core.config import (
    CT_WINDOWS,
    Settings,
    Training,
    from_mapping,
    load_recipe,
    make_settings,
    merge,
    parse_number,
    parse_overrides,
    recipe_names,
)
from umed.core.errors import ConfigError


def test_every_shipped_recipe_makes_settings() -> None:
    assert "default" in recipe_names()
    for name in recipe_names():
        assert isinstance(make_settings(name), Settings)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"epsilonn": 1}, r"epsilonn: unknown key.*Did you mean 'epsilon'\?"),
        ({"training": {"iteration": 1}}, r"training.iteration: unknown key.*Did you mean 'iterations'\?"),
        ({"method": "checkerbord"}, r"Did you mean 'checkerboard'\?"),
        ({"range": "percentil"}, r"Did you mean 'percentile'\?"),
        ({"range": [3, 1]}, r"range: expected \[low, high\] with low < high"),
        ({"range": [1, 2, 3]}, r"range\[0\]: expected"),
        ({"epsilon": "4/0"}, r"epsilon: expected a number or a fraction"),
        ({"epsilon": 0}, r"epsilon: expected a share"),
        ({"epsilon": float("nan")}, r"epsilon: expected a finite number"),
        ({"seed": 1.5}, r"seed: expected int, got 1.5"),
        ({"seed": True}, r"seed: expected int, got True"),
        ({"radius_unit": "cm"}, r"radius_unit: expected one of"),
        ({"spatial_dims": 4}, r"spatial_dims: expected 2, 3 or null, got 4"),
        ({"training": {"surrogates": "unet"}}, r"training.surrogates: expected a list"),
        ({"training": {"surrogates": ["unett"]}}, r"Did you mean 'unet'\?"),
        ({"training": 3}, r"training: expected a mapping, got 3"),
    ],
)
def test_wrong_settings_are_refused(mapping: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_mapping(Settings, mapping)


def test_values_are_converted() -> None:
    settings = from_mapping(
        Settings, {"epsilon": "8/255", "range": [0, 255], "training": {"patch_size": [32, 32], "surrogates": ["unet"]}}
    )
    assert settings.epsilon == 8 / 255
    assert settings.range == (0.0, 255.0)
    assert settings.training == Training(patch_size=(32, 32), surrogates=("unet",))


def test_merge_is_deep_and_leaves_its_arguments_alone() -> None:
    base = {"a": {"b": 1, "c": 2}, "d": 3}
    assert merge(base, {"a": {"b": 5}, "d": {"e": 1}}) == {"a": {"b": 5, "c": 2}, "d": {"e": 1}}
    assert base == {"a": {"b": 1, "c": 2}, "d": 3}


def test_overrides_are_yaml() -> None:
    assert parse_overrides(["a.b=1", "a.c=[x, y]", "d=null"]) == {"a": {"b": 1, "c": ["x", "y"]}, "d": None}
    with pytest.raises(ConfigError, match="expected key=value"):
        parse_overrides(["epsilon"])
    with pytest.raises(ConfigError, match="expected a YAML value"):
        parse_overrides(["a=[1"])


def test_numbers() -> None:
    assert parse_number("1/4") == 0.25
    assert parse_number("1e-3") == 0.001
    with pytest.raises(ConfigError, match="fraction such as 4/255, got 'x'"):
        parse_number("x")


def test_recipes_extend(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("extends: default\nseed: 7\ntraining: {iterations: 3}\n")
    (tmp_path / "mine.yaml").write_text("extends: base.yaml\nmethod: random\n")
    recipe = load_recipe(tmp_path / "mine.yaml")
    assert (recipe["seed"], recipe["method"], recipe["training"]["iterations"]) == (7, "random", 3)
    assert "batch_size" in recipe["training"]
    (tmp_path / "loop.yaml").write_text("extends: loop.yaml\n")
    with pytest.raises(ConfigError, match="extends itself"):
        load_recipe(tmp_path / "loop.yaml")
    with pytest.raises(ConfigError, match="Did you mean 'default'"):
        load_recipe("defaul")
    with pytest.raises(ConfigError, match="does not exist"):
        load_recipe(tmp_path / "none.yaml")


def test_ct_windows_ascend() -> None:
    assert all(low < high for low, high in CT_WINDOWS.values())


def test_method_options_leave_with_their_method(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("method: random\nmethod_options: {distribution: sign}\n")
    assert make_settings(tmp_path / "mine.yaml").method_options == {"distribution": "sign"}
    assert make_settings(tmp_path / "mine.yaml", {"method": "random"}).method_options == {"distribution": "sign"}
    assert make_settings(tmp_path / "mine.yaml", {"method": "checkerboard"}).method_options == {}
    assert make_settings("default", {"method": "random"}).method_options == {}
