# SPDX-License-Identifier: Apache-2.0
"""Pixels of DICOM files: decoded exactly, written in a lossless syntax."""
