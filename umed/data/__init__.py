# SPDX-License-Identifier: Apache-2.0
"""Image files in and out: NIfTI, MetaImage, NRRD, PNG, TIFF, masks, layouts, the phantom. Never sees torch."""
