from __future__ import annotations

import subprocess
import sys


def test_tasks_import_no_torch():
    """Files are read, and exported models served, by processes that never load it."""
    code = (
        "import sys; from react_ray.tasks import get_task, task_names; [get_task(n) for n in task_names()]; "
        "print(sorted({'torch', 'transformers', 'sklearn'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
