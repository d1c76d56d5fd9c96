# SPDX-License-Identifier: Apache-2.0
"""DICOM: find files, group them to series, read and write their stored values, match masks to them.

Needs the extra ``umed[dicom]`` (pydicom and its decoders). Import the modules, not names from here, so that a command
that needs no DICOM does not load pydicom.
"""
