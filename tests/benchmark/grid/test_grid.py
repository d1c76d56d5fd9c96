# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from umed.benchmark.countermeasures.interface import make_countermeasure
from umed.benchmark.grid.case_split import Split
from umed.benchmark.grid.cut_sets import CutSet, choose
from umed.benchmark.grid.grid import DataSource
from umed.benchmark.grid.grid_reading import load_grid
from umed.benchmark.grid.jobs import ProtectJob, decisive
from umed.benchmark.grid.yaml_lines import preset_names, read_grid_file
from umed.benchmark.victims.victim_recipe import Recipe, default_recipe
from umed.core.config import make_settings
from umed.core.errors import ConfigError
from umed.core.registry import check_options

GRID = """
data:
  volumes:
    phantom: {cases: 8, size: [24, 24, 16]}
methods:
  - random
  - random: {distribution: gaussian, settings: {support: full}}
victims:
  - unet
  - unet: {width: 4}
countermeasures:
  - none
  - jpeg: {quality: [10, 75]}
  - [blur: {sigma: 1}, jpeg]
seeds: 2
"""


@pytest.fixture
def write(tmp_path: Path):
    def make(text: str) -> Path:
        path = tmp_path / "grid.yaml"
        path.write_text(text)
        return path

    return make


def test_axes_become_labels_and_lists_become_sweeps(write) -> None:
    grid = load_grid(write(GRID))
    (block,) = grid.blocks
    assert block.methods == ("random", "random distribution=gaussian support=full")
    assert grid.methods[block.methods[1]].settings == {"support": "full"}
    assert block.victims == ("unet", "unet width=4") and block.seeds == (0, 1)
    assert block.countermeasures == ("none", "jpeg quality=10", "jpeg quality=75", "blur sigma=1 + jpeg")
    assert grid.countermeasures["blur sigma=1 + jpeg"] == (("blur", {"sigma": 1}), ("jpeg", {}))
    assert grid.data["volumes"].phantom == {"cases": 8, "size": [24, 24, 16]}


def test_blocks_inherit_the_axes_and_may_add_to_them(write) -> None:
    text = f"{GRID}blocks:\n  - countermeasures: [none]\n  - {{victims: [unet], seeds: [5], methods: [checkerboard]}}\n"
    first, second = load_grid(write(text)).blocks
    assert first.countermeasures == ("none",) and len(first.victims) == 2
    assert (second.victims, second.seeds, second.methods) == (("unet",), (5,), ("checkerboard",))
    assert len(second.countermeasures) == 4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("methods:", "metods:", "grid.yaml:5: metods: unknown key; .*Did you mean 'methods'"),
        ("- random\n", "- randon\n", "grid.yaml:6: .*got 'randon'. Did you mean 'random'"),
        ("  - unet\n", "  - unett\n", "grid.yaml:9: .*Did you mean 'unet'"),
        ("blur", "blurr", "grid.yaml:14: .*Did you mean 'blur'"),
        ("seeds: 2", "seeds: [a]", "grid.yaml:15: .*expected a list of integers"),
        ("cases: 8", "cases: 8, sizes: 3", None),
        ("    phantom:", "    fantom:", "grid.yaml:4: .*unknown key; .*Did you mean 'phantom'"),
        ("seeds: 2", "tolerance: -1", "grid.yaml:15: .*expected a positive number"),
        ("seeds: 2", "blocks: [{victim: [unet]}]", "grid.yaml:15: .*Did you mean 'victims'"),
        ("seeds: 2", "blocks: [{data: [volume]}]", "grid.yaml:15: .*expected one of volumes"),
        ("- unet\n", "- [unet]\n", "grid.yaml:9: .*expected a name, or a name with its options"),
        ("seeds: 2", "seeds: 2\nseeds: 3", "grid.yaml:16: .*given twice"),
        ("seeds: 2", "seeds: [", "not readable as YAML"),
        ("seeds: 2", "seeds: !what 2", "not readable as YAML"),
        ("seeds: 2", "tolerance: .nan", "grid.yaml:15: .*expected a positive number"),
        ("seeds: 2", "training: {2d: 5}", "grid.yaml:15: .*expected fields of a recipe, got 5"),
        ("seeds: 2", "data2: 1", "grid.yaml:15: .*Did you mean 'data'"),
        ("    phantom:", "    seed: -1\n    phantom:", "grid.yaml:4: .*seed: expected 0 or more"),
        ("    phantom:", "    resize: 0\n    phantom:", "grid.yaml:4: .*resize: expected at least 16 px"),
        (
            "- random\n",
            "- random\n  - checkerboard: {name: random}\n",
            "grid.yaml:7: .*label that is free, got 'random'",
        ),
        ("- random\n", "- random: {name: clean}\n", "grid.yaml:6: .*label that is free, got 'clean'"),
        (
            "- unet\n",
            "- {_target_: a.B, steps: 5, name: x}\n  - {_target_: a.C, name: x}\n",
            "grid.yaml:10: .*got 'x' again",
        ),
        ("seeds: 2", "blocks: [{countermeasures: [[]]}]", "grid.yaml:15: .*got an empty list"),
        (
            "seeds: 2",
            "blocks: [{countermeasures: [jpeg: {quality: []}]}]",
            "grid.yaml:15: .*expected options with values",
        ),
        ("seeds: 2", "blocks: [{countermeasures: [jpeg: {5: 3}]}]", "grid.yaml:15: .*expected options with values"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(write, old: str, new: str, message: str | None) -> None:
    path = write(GRID.replace(old, new, 1))
    if message is None:
        assert load_grid(path).data["volumes"].phantom["sizes"] == 3  # found when the phantom is made
        return
    with pytest.raises(ConfigError, match=message):
        load_grid(path)


def test_labels_of_custom_victims_show_their_options(write) -> None:
    two = "- {_target_: a.VNet, steps: 5}\n  - {_target_: a.VNet, steps: 7}\n"
    assert list(load_grid(write(GRID.replace("- unet\n", two))).victims)[:2] == ["VNet steps=5", "VNet steps=7"]


def test_changes_are_laid_over_a_folder_and_hold_in_blocks(write) -> None:
    text = "data: {volumes: some}\nmethods: [random]\nvictims: [unet]\n"
    text += "blocks: [{seeds: [1, 2]}, {countermeasures: [[none]]}]"
    grid = load_grid(write(text), changes={"data": {"volumes": {"cases": 10}}, "seeds": [7]})
    assert (grid.data["volumes"].path, grid.data["volumes"].cases) == ("some", 10)
    assert [block.seeds for block in grid.blocks] == [(7,), (7,)]
    assert grid.blocks[1].countermeasures == ("none",)


def test_data_gets_its_folder_from_the_command_line(write, tmp_path: Path) -> None:
    path = write(GRID)
    for given in (f"volumes={tmp_path}", str(tmp_path)):
        assert load_grid(path, data=[given]).data["volumes"] == DataSource(path=str(tmp_path))
    with pytest.raises(ConfigError, match="with a name of the grid \\(volumes\\), got 'other=x'"):
        load_grid(path, data=["other=x"])


def test_a_method_gets_its_generators_from_the_command_line(write, tmp_path: Path) -> None:
    path = write(GRID.replace("  - random\n", "  - random\n  - unseg: {generators: a.pt, name: one}\n  - unseg: {}\n"))
    grid = load_grid(path, generators=[f"one={tmp_path / 'b=c.pt'}"])
    assert grid.methods["one"].generators == str(tmp_path / "b=c.pt") and grid.methods["unseg"].generators is None
    assert load_grid(path).methods["one"].generators == "a.pt"
    for wrong in ("on=b.pt", "b.pt", "one="):
        with pytest.raises(ConfigError, match="NAME=DIR|FILE with a method of the grid \\(random, .*one"):
            load_grid(path, generators=[wrong])


def test_shipped_grids_can_be_read() -> None:
    assert {"quick", "cpu", "unseg", "standard", "paper"} <= set(preset_names())
    for name in preset_names():
        grid = load_grid(name)
        assert grid.blocks
        for steps in grid.countermeasures.values():
            for countermeasure, options in steps:
                assert make_countermeasure(countermeasure, options).name == countermeasure
        for protection in grid.methods.values():
            changes = {**grid.protection, **protection.settings, "method": protection.method}
            make_settings(grid.recipe, changes)
            check_options(protection.method, protection.options)
        for net, changes in grid.victims.values():
            assert default_recipe(net, 2, changes).net == net
    with pytest.raises(ConfigError, match="Did you mean 'quick'"):
        read_grid_file("quik")
    with pytest.raises(ConfigError, match="expected a grid, got no such file"):
        read_grid_file("nothing.yaml")


def test_later_fields_of_a_recipe_leave_the_names_of_older_cells() -> None:
    old = decisive(Recipe())
    assert not {"augment", "foreground", "clip"} & old.keys() and old["weight_decay"] == 0.0
    assert decisive(Recipe(augment="nnunet", clip=12.0)) == {**old, "augment": "nnunet", "clip": 12.0}


def test_fewer_cases_are_part_of_more_and_parts_are_disjoint() -> None:
    ids = tuple(f"case{number:02d}" for number in range(20))
    few, more = choose(ids, DataSource(cases=5)), choose(ids, DataSource(cases=12))
    assert len(few) == 5 and set(few) < set(more) and list(few) == sorted(few)
    halves = [set(choose(ids, DataSource(part=(k, 2)))) for k in (0, 1)]
    assert not halves[0] & halves[1] and halves[0] | halves[1] == set(ids)
    assert choose(ids, DataSource(cases=5, seed=1)) != few


def test_a_stronger_protection_is_another_copy_and_an_epsilon_is_not(tmp_path: Path) -> None:
    data = CutSet("pictures", tmp_path, Split(("a",), (), ("b",)), "hash")

    def mark(**given: object) -> dict[str, object]:
        return ProtectJob(tmp_path, data, "umed", make_settings(overrides=given)).mark

    assert mark() == mark(strength="invisible") == mark(epsilon="4/255")
    assert mark(strength="strong") != mark()
    assert mark(psnr_target=50) != mark(psnr_target=50, epsilon="4/255")
