"""Memory that was freed, counted by the pages that the system hands out."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys

import pytest

ROUNDS, ARRAYS, BYTES = 20, 20, 1 << 20

PROGRAM = f"""
import resource
import numpy as np
from phase_lib.base.memory import keep_freed_memory

def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

keep_freed_memory()
before = pages()
for _ in range({ROUNDS}):
    block = [np.ones({BYTES}, np.uint8) for _ in range({ARRAYS})]
    del block
print(pages() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_a_block_of_arrays_gets_the_pages_of_the_block_before_it() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    pages_of_a_block = ARRAYS * BYTES // resource.getpagesize()
    assert int(result.stdout) < 2 * pages_of_a_block
