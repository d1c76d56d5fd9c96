# SPDX-License-Identifier: Apache-2.0
"""UnSeg (arXiv 2410.09909): one universal generator made of Segment Anything."""
