# SPDX-License-Identifier: Apache-2.0
"""How a thief estimates a code from the release and takes it off: spectra, gratings, colours, averages, umed itself."""
