# SPDX-License-Identifier: Apache-2.0
"""Suspect networks: each module here reads one kind, and all answer in the same way."""
