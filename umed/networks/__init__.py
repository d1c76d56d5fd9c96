# SPDX-License-Identifier: Apache-2.0
"""The generator networks."""

from umed.networks.contour import CentralDifferenceConv, ContourGenerator
from umed.networks.unet import GeneratorUNet

__all__ = ["CentralDifferenceConv", "ContourGenerator", "GeneratorUNet"]
