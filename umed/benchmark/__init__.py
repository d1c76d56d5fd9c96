# SPDX-License-Identifier: Apache-2.0
"""Measures what a protection does: fresh networks, trained on published images and tested on clean ones."""
