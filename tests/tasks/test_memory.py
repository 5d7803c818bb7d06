import subprocess
import sys
import time

from omnilearn_lab.tasks import MemoryWatch

HOLD = "import time; block = bytearray({size}); print('ready', flush=True); time.sleep(60)"


def peak_of_a_child(size: int) -> float:
    """Peak while a child holds ``size`` bytes of zeros that were written."""
    with MemoryWatch(period=0.02) as watch:
        child = subprocess.Popen([sys.executable, "-c", HOLD.format(size=size)], stdout=subprocess.PIPE)
        child.stdout.readline()
        before = watch.n_samples
        while watch.n_samples < before + 2:
            time.sleep(0.01)
        child.kill()
        child.communicate()
    return watch.peak_gb


def test_memory_of_children_is_seen():
    small, large = peak_of_a_child(1), peak_of_a_child(200_000_000)
    assert 0.19 < large - small < 0.22


def test_no_children_no_memory():
    with MemoryWatch(period=0.01) as watch:
        pass
    assert watch.peak_gb == 0
