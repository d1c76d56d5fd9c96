# SPDX-License-Identifier: Apache-2.0
"""What was measured: cells, their statistics, and the tables made of them."""
