# SPDX-License-Identifier: Apache-2.0
"""Ways to perturb a case, one file a paper, all behind :class:`umed.methods.base.Method`."""
