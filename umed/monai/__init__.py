# SPDX-License-Identifier: Apache-2.0
"""What MONAI users see: transforms, and the workflows of the bundle."""
