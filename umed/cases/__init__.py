# SPDX-License-Identifier: Apache-2.0
"""Cases of a data set, whether files or DICOM series: opened, written, recorded."""
