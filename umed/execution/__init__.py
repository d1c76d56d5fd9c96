# SPDX-License-Identifier: Apache-2.0
"""Where tasks run: in this process, on local processes, or on a Dask cluster. Needs no torch."""

from umed.execution.execute import check_execution, execute
from umed.execution.tasks import Done, Task

__all__ = ["Done", "Task", "check_execution", "execute"]
