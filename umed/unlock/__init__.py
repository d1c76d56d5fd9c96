# SPDX-License-Identifier: Apache-2.0
"""Authorised use: what gives the originals of a release back, encrypted for whom its owner names."""
