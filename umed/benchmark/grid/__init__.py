# SPDX-License-Identifier: Apache-2.0
"""What is to be measured: the grid, its recipes, data sets and jobs."""
