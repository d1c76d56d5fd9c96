# SPDX-License-Identifier: Apache-2.0
"""Image files in and out: NIfTI, PNG, TIFF, masks, layouts of folders, the phantom. Never sees torch."""
