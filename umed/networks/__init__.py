# SPDX-License-Identifier: Apache-2.0
"""The generator networks."""

from umed.networks.unet import CentralDifferenceConv, GeneratorUNet

__all__ = ["CentralDifferenceConv", "GeneratorUNet"]
