# SPDX-License-Identifier: Apache-2.0
"""Masks for images that have none, proposed by Segment Anything; to be looked at by people."""
