# SPDX-License-Identifier: Apache-2.0
"""``python -m umed`` is the command ``umed``."""

from __future__ import annotations

import sys

from umed.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
