# SPDX-License-Identifier: Apache-2.0
"""Evidence that a network was trained on a release: marks and coins that are committed to before it is published."""
