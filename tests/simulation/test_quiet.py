"""Banners of compiled libraries stay off the user's screen."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

from omnilearn_lab.simulation.quiet import quiet_stdout


def test_output_of_c_code_is_dropped_and_python_text_kept(capfd):
    os.write(1, b"before ")
    with quiet_stdout():
        os.write(1, b"banner ")
    os.write(1, b"after")
    assert capfd.readouterr().out == "before after"


def test_threads_do_not_leave_standard_output_closed(capfd):
    def hold(seconds):
        with quiet_stdout():
            time.sleep(seconds)

    threads = [threading.Thread(target=hold, args=(s,)) for s in (0.02, 0.06, 0.03)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(1, b"still here")
    assert capfd.readouterr().out == "still here"


def test_a_simulation_writes_nothing_to_standard_output():
    code = "from omnilearn_lab.simulation import simulate; simulate('h1_dis', 4, workers=1, progress=False)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "" and done.stderr == ""
