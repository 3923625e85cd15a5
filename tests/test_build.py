"""What setup.py does beyond setuptools."""

import importlib
import shutil
import subprocess
import sys
import sysconfig
from importlib import util
from pathlib import Path
from typing import Any

import pytest

from tests import battery, child

pytest.importorskip("setuptools")

MODULE = """
#include <Python.h>
static PyModuleDef_Slot slots[] = {{0, NULL}};
static PyModuleDef def = {PyModuleDef_HEAD_INIT, "_k", NULL, 0, NULL, slots};
PyMODINIT_FUNC PyInit__k(void) { return PyModuleDef_Init(&def); }
"""

BEYOND = """
#include <stdio.h>
#include <stdlib.h>
#include "ground/vector.h"
int main(int argc, char **argv) {
    real *p = calloc(LANES, sizeof(real)), q[LANES];
    vstore(q, vload(p + argc - 1));
    printf("%g", q[0]);
}
"""


def loaded(name: str, file: Path) -> Any:
    spec = util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("avx512f avx512bw avx512cd avx512dq avx512vl avx2 fma bmi1 bmi2", ["x86_64_v4", "x86_64_v3", "x86_64_v2"]),
        ("avx512f avx512cd avx2 fma bmi1 bmi2", ["x86_64_v3", "x86_64_v2"]),  # Xeon Phi
        ("avx fma bmi1", ["x86_64_v2"]),
    ],
)
def test_native_is_what_this_cpu_runs(tmp_path: Path, monkeypatch: Any, flags: str, expected: list[str]) -> None:
    """A build for development leaves out what cannot be tested here; every other one leaves out nothing."""
    setup, cpuinfo = loaded("setup", child.ROOT / "setup.py"), tmp_path / "cpuinfo"
    monkeypatch.setattr(setup, "ISAS", setup.X86)
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: fpu {flags} ssse3\nbugs\t\t: avx512f\n\nprocessor\t: 1\n")
    assert list(setup.chosen("native", cpuinfo)) == expected
    assert list(setup.chosen("native", tmp_path / "no Linux")) == list(setup.chosen("")) == list(setup.X86)
    assert list(setup.chosen("neon,x86_64_v2", cpuinfo)) == ["x86_64_v2", "neon"]


@pytest.mark.skipif(not battery.instruction_sets(), reason="the compiled engine is absent")
def test_native_leaves_out_nothing_that_runs() -> None:
    setup = loaded("setup", child.ROOT / "setup.py")
    able = importlib.import_module("fastconv.engines.cython_._cpu").able()
    assert {name for name in able if name in setup.ISAS} == set(setup.chosen("native")) & set(able)
    if Path("/proc/cpuinfo").exists() and "x86_64_v2" in able:
        assert set(setup.chosen("native")) <= set(able)


@pytest.mark.skipif(shutil.which("cc") is None or sys.platform == "win32", reason="no C compiler here")
def test_one_c_file_gives_modules_of_several_names(tmp_path: Path) -> None:
    setup = loaded("setup", child.ROOT / "setup.py")
    source = tmp_path / "_k.c"
    source.write_text(MODULE)
    for name in ("_v2_k", "_v3_k"):
        written = Path(setup.named(source, "_k", name))
        before = written.stat().st_mtime_ns
        assert setup.named(source, "_k", name) == str(written) and written.stat().st_mtime_ns == before
        built = written.with_suffix(sysconfig.get_config_var("EXT_SUFFIX"))
        include = f"-I{sysconfig.get_paths()['include']}"
        undefined = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
        subprocess.run(["cc", "-shared", "-fPIC", include, *undefined, str(written), "-o", str(built)], check=True)
        assert loaded(name, built).__name__ == name


@pytest.mark.skipif(shutil.which("gcc") is None, reason="`make sanitize` is for GCC")
def test_checked_kernels_see_a_vector_beyond_an_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With flags of `make sanitize`, under which not every call is inlined: each would bring its checks."""
    monkeypatch.setenv("FASTCONV_SANITIZE", "address,undefined")
    setup = loaded("setup", child.ROOT / "setup.py")
    (tmp_path / "beyond.c").write_text(BEYOND)
    command = ["gcc", *setup.CHECKED, f"-I{child.ROOT / setup.HERE}", str(tmp_path / "beyond.c")]
    if subprocess.run([*command, "-o", str(tmp_path / "beyond")], capture_output=True).returncode:
        pytest.skip("GCC is here without its sanitizers")
    macros = subprocess.run([*command, "-E", "-dM"], capture_output=True, text=True, check=True).stdout
    assert "#define FC_ALWAYS inline\n" in macros
    for arguments, told in (([], ""), (["one"], "ERROR: AddressSanitizer")):
        environment = {"ASAN_OPTIONS": "detect_leaks=0"}
        done = subprocess.run([tmp_path / "beyond", *arguments], env=environment, capture_output=True, text=True)
        assert bool(done.returncode) == bool(told) and told in done.stderr, done.stderr
