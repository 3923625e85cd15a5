"""Code run in a fresh process: whatever crashes, hangs or reads the environment must not end the test run."""

import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
KEPT = "FASTCONV_CACHE_DIR", "FASTCONV_ISA"
PATIENCE = 10 if "ASAN_OPTIONS" in os.environ else 1  #: of `make sanitize`, whose kernels are slower


def run(
    *arguments: str, timeout: float = 120, check: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments, none of the caller's FASTCONV_ settings but the cache directory and the
    instruction set, and these.

    A process that crashes or hangs is an AssertionError with its tracebacks; its own children end with it.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FASTCONV_") or k in KEPT}
    command = [sys.executable, "-X", "faulthandler", *arguments]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**kept, **environment},
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        how = ""
        try:
            out, err = process.communicate(timeout=PATIENCE * timeout)
        except subprocess.TimeoutExpired:
            how = f"had not ended after {PATIENCE * timeout} s"
            os.killpg(process.pid, signal.SIGABRT)  # faulthandler prints where every thread is
            out, err = process.communicate()
    code = process.returncode
    if not how and check and code:
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    if how:
        raise AssertionError(f"the process {how}\n{out[-500:]}\n{err[-4000:]}")
    return subprocess.CompletedProcess(command, code, out, err)


def run_code(code: str, *arguments: str, **environment: str) -> str:
    """Output of some code."""
    return run("-c", code, *arguments, **environment).stdout  # type: ignore[arg-type]


def with_entry_points(folder: Path) -> str:
    """PYTHONPATH with the metadata that pip would write for this tree, whatever is installed."""
    info = folder / "fastconv-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fastconv\nVersion: 0\n")
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    told = (f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in names.items()) for group, names in groups.items())
    (info / "entry_points.txt").write_text("".join(told))
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
