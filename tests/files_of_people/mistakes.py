# SPDX-License-Identifier: Apache-2.0
"""What people's files get wrong, what umed does then, and the test that shows it: a table of docs/formats.md."""

from __future__ import annotations

from typing import NamedTuple


class Mistake(NamedTuple):
    """A kind of input.

    Args:
        row: its number, as the names of the tests have it.
        what: what comes.
        outcome: what becomes of it.
        test: file below ``tests/`` and function.
    """

    row: int
    what: str
    outcome: str
    test: str


PEOPLE = "files_of_people/test_row_"
MISTAKES = (
    Mistake(1, "CT and PET in one data set", "a range and a bound for each channel",
            f"{PEOPLE}01_ranges_per_channel.py::test_ct_and_pet_as_files_have_a_range_each"),
    Mistake(2, "one volume of 0 to 1 among HU", "that case is refused: exit 3",
            f"{PEOPLE}02_misfits.py::test_a_misfit_among_ct_is_refused"),
    Mistake(3, "an organ that lies outside the window", "released and called weak: exit 3",
            f"{PEOPLE}03_weak.py::test_an_organ_outside_the_window_is_weak"),
    Mistake(4, "MR with values below -500", "the declared modality wins over the values",
            f"{PEOPLE}04_declared_modality.py::"
            "test_integers_below_minus_500_are_no_ct_where_another_modality_is_declared"),
    Mistake(5, "several masks for one picture", "their union protects it",
            f"{PEOPLE}05_several_masks.py::test_the_union_of_numbered_masks_is_protected"),
    Mistake(6, "links that lead out of the data set", "listed, not followed: exit 3",
            f"{PEOPLE}06_links.py::test_a_link_that_leads_outside_is_listed_and_exit_code_3"),
    Mistake(7, "MetaImage and NRRD", "written in their own format under the same header",
            f"{PEOPLE}07_metaimage_nrrd.py::test_row_07_images_and_masks_are_protected_and_keep_their_format"),
    Mistake(7, "BMP, GIF, WebP", "left out with the cure: exit 3",
            f"{PEOPLE}07_metaimage_nrrd.py::test_row_07_pictures_of_other_formats_name_the_cure"),
    Mistake(8, "a mask drawn in the alpha plane", "refused; the place is named",
            f"{PEOPLE}08_masks_in_the_alpha_plane.py::"
            "test_a_mask_in_the_alpha_plane_is_refused_and_the_place_is_named"),
    Mistake(9, "negative values in a mask", "refused, with the options that settle it",
            f"{PEOPLE}09_negative_values.py::"
            "test_negative_values_are_refused_with_the_options_that_settle_them"),
    Mistake(10, "a mask in which 0 seems to be the lesion", "a question, which `--background` answers",
            f"{PEOPLE}10_inverted_masks.py::test_a_mask_that_looks_inverted_is_a_question_that_an_option_answers"),
    Mistake(11, "volumes labelled 0 and 255", "two classes: the values that occur",
            f"{PEOPLE}11_values_that_occur.py::test_two_values_are_two_classes_whatever_they_are"),
    Mistake(12, "a label called `ignore`", "no class, and what it covers is never changed",
            f"{PEOPLE}12_ignore_label.py::test_what_is_to_be_ignored_is_no_class_and_never_changed"),
    Mistake(13, "one RGB picture for three declared channels", "read, as nnU-Net does",
            f"{PEOPLE}13_to_15_indexes.py::test_row_13_one_rgb_picture_holds_three_channels"),
    Mistake(14, "`_0000` on disk and not in `dataset.json`", "read and mirrored",
            f"{PEOPLE}13_to_15_indexes.py::test_row_14_names_of_version_1_are_read_and_mirrored"),
    Mistake(15, "absolute paths in `dataset.json`", "accepted within the data set, written as relative ones",
            f"{PEOPLE}13_to_15_indexes.py::test_row_15_absolute_paths_are_accepted_and_not_released"),
    Mistake(16, "capital names, splits, a folder a case", "the output mirrors the input",
            f"{PEOPLE}16_layouts.py::test_the_output_mirrors_the_input"),
    Mistake(16, "BIDS", "the output is a BIDS derivative",
            f"{PEOPLE}16_layouts.py::test_bids_becomes_a_bids_derivative"),
    Mistake(16, "any other tree", "a mapping file says what is what",
            f"{PEOPLE}16_mapping_files.py::test_a_mapping_file_is_followed_by_all_commands"),
    Mistake(17, "OME-TIFF", "its XML is kept byte for byte; two runs give the same bytes",
            f"{PEOPLE}17_ome_tiff.py::test_description_is_kept_and_two_runs_agree"),
    Mistake(18, "TIFF of ImageJ, tiled, planar, BigTIFF", "every tag and the layout are kept",
            f"{PEOPLE}18_imagej_and_other_tiff.py::test_every_layout_is_kept"),
    Mistake(18, "thumbnails and layers in a picture", "left out of it and named, since they show the original",
            f"{PEOPLE}18_imagej_and_other_tiff.py::"
            "test_what_gives_the_original_back_is_left_out_and_named"),
    Mistake(19, "names in header fields of volumes", "a warning by field, in three commands",
            f"{PEOPLE}19_names_in_headers.py::test_nifti"),
    Mistake(19, "names in fields of pictures", "a warning by field, in three commands",
            f"{PEOPLE}19_names_in_headers.py::test_pictures"),
    Mistake(20, "documents beside the data", "listed, no fault",
            f"{PEOPLE}20_documents.py::test_documents_are_listed_and_make_no_exit_code_3"),
    Mistake(20, "the same with `--carry`", "copied byte for byte",
            f"{PEOPLE}20_documents.py::test_carry_takes_them_along_byte_for_byte_and_verify_proves_it"),
    Mistake(21, "no case that can be read", "the reasons with counts: exit 1",
            f"{PEOPLE}21_22_reasons.py::test_when_no_case_can_be_read_the_reasons_are_said_with_counts"),
    Mistake(22, "252 files that are not there", "one line with a count and three examples: exit 3",
            f"{PEOPLE}21_22_reasons.py::test_252_missing_files_are_one_line_and_exit_code_3"),
    Mistake(23, "a checkpoint that is cut", "set aside; training goes on from the last whole one",
            "training/test_handlers.py::"
            "test_row_23_a_broken_checkpoint_is_set_aside_and_training_goes_on_from_the_last_whole_one"),
    Mistake(24, "an output that may not be written to", "one line: exit 1",
            f"{PEOPLE}24_permissions_and_disks.py::test_a_place_that_may_not_be_written_to"),
    Mistake(24, "an input that may not be read", "one line: exit 1",
            f"{PEOPLE}24_permissions_and_disks.py::test_an_input_that_may_not_be_read"),
    Mistake(25, "any error under `--json`", "`error`, `kind` and `exit_code` on stdout",
            f"{PEOPLE}25_json_errors.py::test_input_that_is_not_there"),
    Mistake(26, "a benchmark of few cases", "runs on all that there are",
            f"{PEOPLE}26_few_cases.py::test_all_cases_are_taken_where_there_are_fewer_than_the_grid_draws"),
    Mistake(26, "victims that learn nothing", "no verdict anywhere",
            "benchmark/results/test_floor.py::test_row_26_victims_that_learn_nothing_give_no_verdict_anywhere"),
    Mistake(27, "output sent to a file", "a line as each stage begins and ends, "
            "an early one that says how long, and every 30 seconds",
            f"{PEOPLE}27_progress_in_a_file.py::"
            "test_every_stage_says_when_it_begins_and_ends_and_quiet_says_nothing"),
)  # fmt: skip
