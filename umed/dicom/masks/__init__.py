# SPDX-License-Identifier: Apache-2.0
"""Masks of DICOM series: SEG, RTSTRUCT, or files of labels on the same grid."""
