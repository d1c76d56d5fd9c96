# SPDX-License-Identifier: Apache-2.0
"""Open a local page for the whole job: choose a folder, look, preview, protect, check. Needs the extra app.

The page is served on this computer alone (127.0.0.1), to whoever opens the link that is printed; the link works once.
"""

from __future__ import annotations

import argparse
from functools import partial


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    port = "port on 127.0.0.1 (default: any that is free); name one to reach it through an SSH tunnel of the same port"
    parser.add_argument("--port", type=int, default=0, metavar="N", help=port)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    from umed.app.serve import serve

    serve(args.port, say=partial(print, flush=True))
    return 0
