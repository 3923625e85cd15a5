"""``python -m fastconv``: what can be done from a shell."""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from .patching import patch_scipy
from .selftest import selftest


def patch(arguments: argparse.Namespace) -> None:
    """Run a program on fastconv's functions in SciPy's place."""
    script = Path(arguments.script)
    if not script.exists():
        raise SystemExit(f"script must be a file, got {arguments.script!r}")
    patch_scipy()
    sys.argv = [arguments.script, *arguments.arguments]
    if script.is_file():  # a folder or archive is put there by runpy
        sys.path[0] = str(script.resolve().parent)
    runpy.run_path(arguments.script, run_name="__main__")


def check(arguments: argparse.Namespace) -> None:
    """Ends with 1 where a result is wrong."""
    raise SystemExit(bool(selftest(arguments.numba)))


def bench(arguments: Sequence[str]) -> None:
    """Measure this machine; ends with what ``python -m bench`` would end with."""
    sys.path.insert(0, str(benchmarks(Path(__file__).parent)))
    try:
        command = import_module("bench.__main__").main
    except ModuleNotFoundError as error:
        raise SystemExit(f"{error}; the benchmarks need: pip install 'fastconv[bench]'") from None
    raise SystemExit(command(list(arguments), "python -m fastconv bench"))


def benchmarks(package: Path) -> Path:
    """The folder that holds ``bench``: within an installed package, beside it in a clone."""
    folder = package / "_bench"
    return folder if folder.is_dir() else package.parent


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a subcommand."""
    parser = argparse.ArgumentParser(prog="python -m fastconv", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("patch", help="run a program on fastconv.ndimage and fastconv.signal in SciPy's place")
    one.add_argument("script", metavar="SCRIPT", help="a Python program")
    one.add_argument("arguments", metavar="ARGS", nargs=argparse.REMAINDER, help="its arguments")
    one.set_defaults(run=patch)
    one = commands.add_parser("selftest", help="compare every backend with SciPy on small problems: half a minute")
    one.add_argument("--numba", action="store_true", help="the Numba engine too, which compiles for minutes at first")
    one.set_defaults(run=check)
    commands.add_parser("bench", help="measure this machine, draw and compare: see bench --help", add_help=False)
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["bench"]:  # with a parser of its own
        bench(words[1:])
    given = parser.parse_args(words)
    given.run(given)


if __name__ == "__main__":
    main()
