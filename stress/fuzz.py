"""Coverage-guided fuzzing of all that is read: problem strings, tuning and calibration files, saved networks.

`python -m stress.fuzz TARGET FOLDER SECONDS SEED` runs one target, on seeds in the folder, under Atheris.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from stress import Line

NAMES = "problems", "tuning", "rates", "states"


def hunt(target: str, folder: str, seconds: int, seed: int) -> None:
    """Never returns: ends the process with 0, or with a traceback and a file crash-* in the folder."""
    import atheris
    import numpy.testing  # noqa: F401  # these are not watched: their modules take minutes to prepare

    with atheris.instrument_imports(include=["fastconv"]):
        from stress import targets
    for k, data in enumerate(targets.seeds(target)):
        (Path(folder) / f"seed-{k}").write_bytes(data)
    flags = [f"-max_total_time={seconds}", f"-seed={seed}", "-timeout=300", "-rss_limit_mb=4096", "-max_len=4096"]
    atheris.Setup(["fuzz", *flags, f"-artifact_prefix={folder}/", folder], targets.TARGETS[target])
    atheris.Fuzz()


def hunted(target: str, seconds: int, seed: int) -> Line:
    """One target in a child."""
    from tests import child

    with tempfile.TemporaryDirectory() as folder:
        arguments = "-m", "stress.fuzz", target, folder, str(seconds), str(seed)
        told = child.run(*arguments, timeout=3 * seconds + 600, check=False, FASTCONV_CACHE_DIR=folder).stderr
        wrong = [p for p in Path(folder).iterdir() if re.match("crash|timeout|oom|leak", p.name)]
        failures = [f"python -m stress.targets {target} {p.read_bytes().hex()}  # {p.name}" for p in wrong]
    runs = re.search(r"Done (\d+) runs", told)
    if not (runs or failures):
        failures = [told[-2000:]]
    covered = re.findall(r"cov: (\d+)", told)
    note = f"{seconds} s, {covered[-1] if covered else 0} places covered"
    return Line(f"fuzzing {target}", int(runs[1]) if runs else 0, failures, note)


def run(seed: int, quick: bool) -> Iterator[Line]:
    """Ten minutes each, two at a time."""
    if not find_spec("atheris"):
        yield Line("fuzzing", 0, [], "left out: Atheris is not installed (pip install atheris)")
        return
    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(lambda target: hunted(target, 5 if quick else 600, seed % 2**31 or 1), NAMES)


if __name__ == "__main__":
    hunt(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
