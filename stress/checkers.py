"""Programs that look over a run's shoulder: valgrind, ThreadSanitizer, Numba's checks of bounds.

AddressSanitizer and UndefinedBehaviourSanitizer want kernels of their own: `make sanitize`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

from stress import Line
from stress.cases import cases
from tests import battery, child

POOL = Path(__file__).with_name("pool.c")
OURS = "/engines/cython_/"  #: in the path of every compiled module
FLAGS = ["-O1", "-g", "-pthread", "-Wno-unused-function", "-fsanitize=thread"]
FLAGS += ["-D_GNU_SOURCE", f"-I{child.ROOT}/fastconv/engines/cython_"]  # as Python's headers and setup.py do


def races(rounds: int, *flags: str) -> Line:
    """The pool of the compiled kernels, called by eight threads, that sleep at once or look for work for a while.

    Its reports are not OpenMP's: no thread here is OpenMP's, and the program holds nothing but the pool.
    """
    compiler, failures = shutil.which("cc"), []
    if not compiler:
        return Line("ThreadSanitizer", 0, [], "left out: no C compiler")
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/pool"
        command = [compiler, *FLAGS, *flags, str(POOL), "-o", program]
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode:
            return Line("ThreadSanitizer", 0, [], f"left out: {made.stderr.strip()[-200:]}")
        fixed = ["setarch", "-R"] if shutil.which("setarch") else []  # it knows the usual places of memory only
        for spins in "01":
            command = [*fixed, program, "8", str(rounds), spins]
            done = subprocess.run(command, capture_output=True, text=True, timeout=3000)
            if done.returncode:
                failures.append(f"{' '.join(command[-4:])}: {done.stdout.strip()} {done.stderr[-2000:]}")
    return Line("ThreadSanitizer", 2 * 8 * rounds, failures, "launches by 8 threads")


def reports(xml: str) -> list[str]:
    """What valgrind says of the compiled kernels: the kind and the place of each report with a frame of theirs.

    Python keeps modules and their objects to the end, which it calls possible leaks, wanted or not: they are left out.
    """
    found = []
    for error in ElementTree.fromstring(xml).iter("error"):
        frames = [f for f in error.iter("frame") if OURS in (f.findtext("obj") or "")]
        if frames and not (error.findtext("kind") or "").startswith("Leak_"):
            found.append(f"{error.findtext('kind')} in {frames[0].findtext('fn')}")
    return found


def memcheck(seed: int, count: int) -> Line:
    """Random problems on the compiled kernels; valgrind knows vectors of up to 32 bytes."""
    if not shutil.which("valgrind"):
        return Line("valgrind", 0, [], "left out: valgrind is not installed")
    names = [name for name in battery.backends() if name.endswith("/cython")]
    found = [str(case) for case in cases(seed, count, names)]
    environment = os.environ | {"PYTHONMALLOC": "malloc", "FASTCONV_NUM_THREADS": "2"}
    if "x86_64_v3" in battery.instruction_sets():
        environment["FASTCONV_ISA"] = "x86-64-v3"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "reports.xml"
        tool = ["valgrind", "--xml=yes", f"--xml-file={file}", "--error-limit=no"]
        command = [*tool, sys.executable, "-m", "stress.problems", *found]
        done = subprocess.run(command, cwd=child.ROOT, env=environment, capture_output=True, text=True, timeout=3000)
        failures = reports(file.read_text()) if file.exists() else ["valgrind wrote nothing"]
    if done.stdout.strip() != "right":
        failures.append(f"{done.stdout.strip()} {done.stderr[-500:]}")
    return Line("valgrind", len(found), failures)


def bounds(*arguments: str) -> Line:
    """The self-test on the Numba engine, which compiles every access of an array with a check; one thread raises."""
    with tempfile.TemporaryDirectory() as folder:  # the usual cache holds steps without checks
        checked = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": folder, "FASTCONV_NUM_THREADS": "1"}
        arguments = arguments or ("-m", "fastconv", "selftest", "--numba")
        done = child.run(*arguments, timeout=3000, check=False, **checked)
    right, told = re.search(r"(\d+) results right", done.stdout), done.stdout[-1000:] + done.stderr[-1000:]
    return Line("Numba with boundscheck", int(right[1]) if right else 0, [told] if done.returncode else [])


def run(seed: int, quick: bool) -> Iterator[Line]:
    """ThreadSanitizer on the pool; then valgrind on 20 problems beside the Numba engine, which take minutes."""
    yield races(300 if quick else 20_000)
    if not quick:
        with ThreadPoolExecutor(2) as pool:
            both = pool.submit(memcheck, seed, 20), pool.submit(bounds)
            yield from (started.result() for started in both)
