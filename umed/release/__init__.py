# SPDX-License-Identifier: Apache-2.0
"""A DICOM folder in, an anonymized and protected folder out."""
