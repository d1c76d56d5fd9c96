# SPDX-License-Identifier: Apache-2.0
"""What the generators are shown beside the image: edge maps and texture maps, as batched torch functions."""

from umed.priors.edges import edge_map
from umed.priors.texture import gabor_energy, local_binary_pattern, texture_amplitude, texture_maps

__all__ = ["edge_map", "gabor_energy", "local_binary_pattern", "texture_amplitude", "texture_maps"]
