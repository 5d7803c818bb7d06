"""Importing the room stays light."""

from __future__ import annotations

import subprocess
import sys


def test_import_needs_none_of_the_heavy_libraries():
    code = (
        "import sys, omnilearn_lab.metrics, omnilearn_lab.published; "
        "print({'torch', 'ot', 'sklearn', 'pandas', 'matplotlib', 'energyflow', 'jetnet'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
