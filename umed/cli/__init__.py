# SPDX-License-Identifier: Apache-2.0
"""The command ``umed``: one file a command, each with ``add`` (its options) and ``run`` (what it does)."""
