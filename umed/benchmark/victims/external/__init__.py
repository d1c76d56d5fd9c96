# SPDX-License-Identifier: Apache-2.0
"""Victims that bring their own preprocessing, training and environment: the real nnU-Net v2."""

from umed.benchmark.victims.external.nnunet import NnUNetOptions, check_external, run_external

__all__ = ["NnUNetOptions", "check_external", "run_external"]
