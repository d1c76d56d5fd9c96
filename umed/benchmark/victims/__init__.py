# SPDX-License-Identifier: Apache-2.0
"""Segmentation networks that play the thief: how they are built, checked, started from weights, and trained."""
