# SPDX-License-Identifier: Apache-2.0
"""De-identification of DICOM data sets after PS3.15 Annex E: keyed, recursive, and fail closed."""
