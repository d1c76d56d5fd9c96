# SPDX-License-Identifier: Apache-2.0
"""From the facts about a data set to the plan: range, regions, budget, figures."""
