# SPDX-License-Identifier: Apache-2.0
"""A data set in, its protected copy out, and the proof of it."""
