# SPDX-License-Identifier: Apache-2.0
"""A DICOM series as a case: cut into spans of slices, opened as volumes with regions and budget, and checked again."""
