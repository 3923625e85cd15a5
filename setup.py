"""Compiled kernels: one source, built once an instruction set and dtype. Everything else is in pyproject.toml."""

import os
import platform
import re
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

HERE = "fastconv/engines/cython_"
X86 = {  # name: compiler flags, bytes of a vector
    "x86_64_v4": (["-march=x86-64-v4", "-mprefer-vector-width=512"], 64),
    "x86_64_v3": (["-march=x86-64-v3"], 32),
    "x86_64_v2": (["-march=x86-64-v2"], 16),
}
NEON = {"neon": (["-fno-schedule-insns"], 16)}  # of every 64-bit Arm; GCC would load so early that sums are spilled
PORTABLE = {"portable": ([], 16)}
ISAS = {"x86_64": X86, "amd64": X86, "aarch64": NEON, "arm64": NEON}.get(platform.machine().lower(), PORTABLE)
NEEDS = {"x86_64_v4": "avx512f avx512bw avx512cd avx512dq avx512vl", "x86_64_v3": "avx2 fma bmi1 bmi2"}  # as in Linux

RECORD = re.compile(r"^class (\w+)\(NamedTuple\)", re.MULTILINE)
DTYPES = {"f32": [], "f64": [("FC_DOUBLE", "1")]}
# A kernel that is called from one place only is still compiled by itself: inlined, it shares registers with its caller.
FLAGS = [
    "-O3",
    "-g0",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-Wno-unused-function",
    "-fno-inline-functions-called-once",
]
SANITIZE = os.environ.get("FASTCONV_SANITIZE", "")  # "address,undefined": checked kernels, for `make sanitize` only
CHECKED = [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer", "-g1", "-O1"]


def chosen(text, cpuinfo="/proc/cpuinfo"):
    """Instruction sets to build: those named, with commas; for ``native`` all but what Linux says this CPU has not."""
    if text != "native":
        return {k: v for k, v in (X86 | NEON | PORTABLE).items() if k in text.split(",")} if text else ISAS
    has = re.search(r"^flags\s*:(.*)", Path(cpuinfo).read_text(), re.MULTILINE) if Path(cpuinfo).exists() else None
    missing = {k for k, needs in NEEDS.items() if has and not set(needs.split()) <= set(has[1].split())}
    return {k: v for k, v in ISAS.items() if k not in missing}


class build(build_ext):
    """Compiles extensions side by side; if there is no working compiler, says so once and goes on without."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self):
        if self.compiler.compiler_type != "unix":
            return self._without("only GCC and Clang are supported")
        missing = self._compile_test()
        if missing:
            return self._without(missing)
        super().build_extensions()

    def get_outputs(self):
        return [] if getattr(self, "skipped", False) else super().get_outputs()

    def copy_extensions_to_source(self):
        if not getattr(self, "skipped", False):
            super().copy_extensions_to_source()

    def _compile_test(self):
        """Why nothing can be compiled, or an empty string."""
        import tempfile

        with tempfile.TemporaryDirectory() as d:
            source = os.path.join(d, "test.c")
            with open(source, "w") as f:
                f.write("#include <Python.h>\nint main(void) { return 0; }\n")
            try:
                self.compiler.compile([source], output_dir=d, include_dirs=self.include_dirs)
            except Exception as error:
                return f"no working C compiler: {error}"
        return ""

    def _without(self, reason):
        self.skipped = True
        print(
            f"*** fastconv: {reason}; installing without compiled kernels; fastconv[numba] has others", file=sys.stderr
        )


class modules(build_py):
    """The package, with the benchmarks within it for ``python -m fastconv bench``; a clone has them beside it."""

    def run(self):
        super().run()
        if not self.editable_mode:
            for file in Path("bench").rglob("*"):
                if file.suffix in (".py", ".json", ".css", ".js") and not file.name.startswith(("test_", "conftest")):
                    target = Path(self.build_lib, "fastconv", "_bench", file)
                    self.mkpath(str(target.parent))
                    self.copy_file(str(file), str(target))


def write_records():
    """The C structs of engines/records, which is read without importing the package that is being built."""
    from importlib.util import module_from_spec, spec_from_file_location

    folder = Path(HERE).parent / "records"
    spec = spec_from_file_location("records", folder / "__init__.py", submodule_search_locations=[str(folder)])
    records = sys.modules["records"] = module_from_spec(spec)
    spec.loader.exec_module(records)
    written = {name for file in folder.glob("*.py") for name in RECORD.findall(file.read_text())}
    if unnamed := sorted(written - set(records.kinds())):
        sys.exit(f"*** fastconv: engines/records/__init__.py must name {', '.join(unnamed)} in KINDS")
    target, text = Path(HERE) / "ground" / "records.pxi", records.cython_source()
    if not target.exists() or target.read_text() != text:  # an unchanged file builds nothing anew
        target.write_text(text)


def named(source, name, other):
    """C code of Cython's module `name` under another name: written once, it is compiled for every instruction set."""
    target = Path(source).with_name(f"{other}.c")
    text = f'#define PyInit_{name} PyInit_{other}\n#include "{Path(source).name}"\n'
    if not target.exists() or target.read_text() != text:
        target.write_text(text)
    return str(target)


def extensions():
    import numpy
    from Cython.Build import cythonize

    write_records()

    common = {"language": "c", "include_dirs": [HERE, numpy.get_include()]}
    checked = CHECKED if SANITIZE else []
    api = ("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")
    isas = chosen(os.environ.get("FASTCONV_BUILD_ISA", ""))
    built = '"' + " ".join(isas) + '"'
    found = [
        Extension(  # limits that others set on OpenMP; without OpenMP there are none
            "fastconv.core._openmp",
            ["fastconv/core/_openmp.pyx"],
            extra_compile_args=["-fopenmp"],
            extra_link_args=["-fopenmp"],
            optional=True,
            **common,
        ),
        Extension("fastconv.engines.cython_._cpu", [f"{HERE}/_cpu.pyx"], define_macros=[("FC_BUILT", built)], **common),
        Extension(
            "fastconv.engines.cython_._pool",
            [f"{HERE}/_pool.pyx"],
            depends=[f"{HERE}/_pool.pxd", *(f"{HERE}/ground/{name}.h" for name in ("parts", "pool", "sleep"))],
            extra_compile_args=["-O2", "-pthread", *checked],
            extra_link_args=["-pthread", *checked],
            **common,
        ),
    ]
    depends = sorted(str(f) for f in Path(HERE).rglob("*") if f.suffix in (".pxi", ".h"))
    kernels = [Extension(f"fastconv.engines.cython_._{k}", [f"{HERE}/_{k}.pyx"], depends=depends) for k in DTYPES]
    directives = {
        "language_level": 3,
        "boundscheck": False,
        "wraparound": False,
        "cdivision": True,
        "initializedcheck": False,
        "freethreading_compatible": True,
    }
    written = cythonize(
        [*kernels, *found], build_dir="build/cython", compiler_directives=directives, nthreads=os.cpu_count() or 1
    )
    sources = dict(zip(DTYPES, (k.sources[0] for k in written), strict=False))
    compiled = [
        Extension(
            f"fastconv.engines.cython_._{isa}_{short}",
            [named(source, f"_{short}", f"_{isa}_{short}")],
            define_macros=[("VBYTES", str(width)), api, *DTYPES[short]],
            extra_compile_args=[*FLAGS, *flags, *checked],
            extra_link_args=checked,
            depends=[source, *depends],
            **common,
        )
        for isa, (flags, width) in isas.items()  # the longest compilations first: what is left fills the cores
        for short, source in sources.items()
    ]
    return [*compiled, *written[len(kernels) :]]


if __name__ == "__main__":
    setup(ext_modules=extensions(), cmdclass={"build_ext": build, "build_py": modules})
