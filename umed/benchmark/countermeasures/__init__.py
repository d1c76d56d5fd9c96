# SPDX-License-Identifier: Apache-2.0
"""What a thief may do to published images to get rid of a protection, one file a family."""
