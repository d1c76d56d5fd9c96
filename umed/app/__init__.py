# SPDX-License-Identifier: Apache-2.0
"""The local page for data stewards, ``umed app``: a small web server for one person on this computer.

Each step of the job is a command of umed in a process of its own, so that the page does nothing that the command line
would not do. It needs the extra ``app``.
"""
