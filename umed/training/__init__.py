# SPDX-License-Identifier: Apache-2.0
"""Training cases, the transformations T, and the loops that train generators against surrogates."""
