# SPDX-License-Identifier: Apache-2.0
"""The version of umed, which goes into everything that is written."""

__version__ = "0.2.0"
