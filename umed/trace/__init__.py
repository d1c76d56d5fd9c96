# SPDX-License-Identifier: Apache-2.0
"""Evidence that a network was trained on a release: copies that are committed to before one is published."""
