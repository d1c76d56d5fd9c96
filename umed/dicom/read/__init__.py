# SPDX-License-Identifier: Apache-2.0
"""DICOM files as they are found: read within bounds, grouped into series, given a geometry."""
