# SPDX-License-Identifier: Apache-2.0
"""UnSeg's training: pictures with instances, prompts, point-sampled losses, and the alternation of both networks."""
