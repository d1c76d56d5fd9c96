# SPDX-License-Identifier: Apache-2.0
"""What everything else stands on: records, errors, settings, names of what can be chosen. Imports nothing of umed."""
