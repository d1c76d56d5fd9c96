# SPDX-License-Identifier: Apache-2.0
"""Masks from prompts: the prompts file, pictures as Segment Anything sees them, its answers, and automatic masks."""
