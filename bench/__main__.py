"""Command line of the benchmarks: ``python -m bench --help``."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from bench import commands, commands_more
from bench.workloads import PASSES


def main(argv: list[str] | None = None, prog: str = "python -m bench") -> int:
    """Run one command; returns the exit code: 1 after a wrong answer, 2 for nonsense, 130 if interrupted."""
    arguments = _parser(prog).parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except (ValueError, OSError, RuntimeError) as error:
        Console(stderr=True).print(f"[red]bench:[/] {error}", highlight=False)
        return 2
    except KeyboardInterrupt:
        Console(stderr=True).print("[red]bench:[/] interrupted; `run` goes on from here, or anew with --fresh")
        return 130


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="Benchmarks of fastconv.")
    subparsers = parser.add_subparsers(required=True)

    run = subparsers.add_parser("run", help="every backend over kernel sizes and layers; charts and report")
    run.set_defaults(command=commands.run)
    length = run.add_mutually_exclusive_group()
    length.add_argument("--full", action="store_true", help="half an hour: slow backends too, more rounds")
    length.add_argument("--quick", action="store_true", help="seconds: a few small layers")
    run.add_argument("--backends", nargs="+", default=[], metavar="PATTERN", help="e.g. 'im2col/*'")
    run.add_argument("--filter", nargs="+", default=[], metavar="PATTERN", help="cells, e.g. 'sweep_k3 forward *'")
    run.add_argument("--fresh", action="store_true", help="do not go on where an interrupted run of these settings was")
    run.add_argument("--no-photo", action="store_true", help="leave the photograph out")
    run.add_argument("--seconds", type=_seconds, help="time for all measurements together")
    _add_common(run, "bench-results")

    chart = subparsers.add_parser("chart", help="draw what a JSON file of any command holds")
    chart.set_defaults(command=commands_more.chart)
    chart.add_argument("json", type=Path, nargs="?", default=Path("bench-results/benchmark.json"))
    chart.add_argument("--out", type=Path, help="output folder (default: beside the JSON file)")

    report = subparsers.add_parser("report", help="the one page of a JSON file of run, compare or pytest bench")
    report.set_defaults(command=commands_more.report)
    report.add_argument("json", type=Path, nargs="?", default=Path("bench-results/benchmark.json"))
    report.add_argument("--out", type=Path, metavar="FILE", help="the page (default: report.html beside the JSON file)")

    publish = subparsers.add_parser("publish", help="add a run to docs/performance, and make its pages anew")
    publish.set_defaults(command=commands_more.publish)
    publish.add_argument("json", type=Path, nargs="?", default=Path("bench-results/benchmark.json"))
    publish.add_argument("--machine", metavar="WORDS", help="what it is called (default: the CPU's name)")
    publish.add_argument("--provisional", action="store_true", help="mark its figures as not yet settled")
    publish.add_argument("--out", type=Path, default=Path("docs/performance"), help="(default: docs/performance)")

    diff = subparsers.add_parser(
        "diff", help="what became slower or faster between two runs; exit code 1 if anything is slower"
    )
    diff.set_defaults(command=commands_more.diff)
    diff.add_argument("old", type=Path, help="JSON file of run, compare or networks, or a folder of several runs")
    diff.add_argument("new", type=Path, help="the same for the other code")
    diff.add_argument("--least", type=float, default=0.02, metavar="SHARE", help="of interest (default: 0.02, 2 %%)")

    compare = subparsers.add_parser("compare", help="fastconv against every installed peer")
    compare.set_defaults(command=commands.compare)
    compare.add_argument("--peers", nargs="+", default=[], metavar="PATTERN", help="e.g. 'torch*' jax")
    compare.add_argument(
        "--backends", nargs="+", default=["auto"], metavar="NAME", help="fastconv's side (default: auto)"
    )
    compare.add_argument("--rounds", type=_count, help="visits to each cell (default: as the time allows)")
    compare.add_argument("--seconds", type=_seconds, default=1.0, help="for one layer and pass (default: 1)")
    _add_common(compare, "bench-results")

    others = subparsers.add_parser("others", help="pooling and transposed convolution against PyTorch")
    others.set_defaults(command=commands.others)
    others.add_argument("--seconds", type=_seconds, default=1.0, help="for one row (default: 1)")
    others.add_argument("--only", nargs="+", default=[], metavar="PATTERN", help="e.g. 'max*' 'transposed*'")
    others.add_argument("--threads", type=_count, help="default: as fastconv chooses")

    transposed = subparsers.add_parser("transposed", help="transposed convolution against PyTorch, both layouts")
    transposed.set_defaults(command=commands.others, only=["transposed*"])
    transposed.add_argument("--seconds", type=_seconds, default=1.0, help="for one row (default: 1)")
    transposed.add_argument("--threads", type=_count, help="default: as fastconv chooses")

    networks = subparsers.add_parser("networks", help="all convolutions of whole networks against every peer")
    networks.set_defaults(command=commands.networks)
    _add_networks(networks, ("forward", "prepared", "gradients"), seconds=0.2)
    networks.add_argument("--layouts", type=_one_of("nchw", "nhwc"), default=["nchw", "nhwc"], help="nchw,nhwc")
    networks.add_argument("--peers", type=_words, default=[], metavar="PATTERN,...", help="e.g. 'torch*,openvino'")
    networks.add_argument("--quick", action="store_true", help="two networks, three rounds")

    whole = subparsers.add_parser("whole", help="whole networks against PyTorch, ONNX Runtime and OpenVINO")
    whole.set_defaults(command=commands.whole)
    whole.add_argument("--networks", type=_words, default=[], metavar="PATTERN,...", help="e.g. resnet18,'mobile*'")
    whole.add_argument("--peers", type=_words, default=[], metavar="PATTERN,...", help="e.g. 'nn*,torch*,openvino'")
    whole.add_argument("--training", action="store_true", help="steps of SGD; with lenet an epoch of digits too")
    whole.add_argument("--batch", type=_numbers, default=[4], metavar="N,...", help="of training (default: 4)")
    whole.add_argument("--inductor", action="store_true", help="torch.compile's own backend too; needs a C++ compiler")
    whole.add_argument("--seconds", type=_seconds, default=5.0, help="for a network (default: 5)")
    whole.add_argument("--threads", type=_count, help="default: as fastconv chooses")
    whole.add_argument("--seed", type=int, default=0)
    whole.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    whole.add_argument("--quick", action="store_true", help="two small networks, three rounds")

    regret = subparsers.add_parser("regret", help="auto's choice against the best of its candidates")
    regret.set_defaults(command=commands.regret)
    _add_networks(regret, ("forward", "gradients"), seconds=0.1)
    regret.add_argument("--random", type=int, default=200, metavar="N", help="random layers more (default: 200)")
    regret.add_argument("--backends", type=_words, default=[], metavar="PATTERN,...", help="e.g. '*/cython'")

    overhead = subparsers.add_parser("overhead", help="what a call costs on a tiny image")
    overhead.set_defaults(command=commands.overhead)
    overhead.add_argument("--seconds", type=_seconds, default=3.0, help="for all calls together (default: 3)")
    overhead.add_argument("--threads", type=_count, help="default: as fastconv chooses")

    threads = subparsers.add_parser("threads", help="what threads cost, alone and where cores are shared")
    threads.set_defaults(command=commands.threads)
    threads.add_argument("--seconds", type=_seconds, default=0.5, help="for one cell (default: 0.5)")
    threads.add_argument("--threads", type=_count, help="default: as fastconv chooses")

    gallery = subparsers.add_parser("gallery", help="the lectures told in pictures that the library draws")
    gallery.set_defaults(command=commands_more.gallery)
    gallery.add_argument("--out", type=Path, default=Path("bench-results/gallery"), help="output folder")

    images = subparsers.add_parser("images", help="image filters against OpenCV and SciPy over kernel sizes")
    images.set_defaults(command=commands_more.images)
    images.add_argument("--full", action="store_true", help="a table of all SciPy's filters and OpenCV's, 8 minutes")
    images.add_argument("--filter", nargs="+", default=[], metavar="PATTERN", help="cells, e.g. 'signal.*' '* 8x8 *'")
    images.add_argument("--json", type=Path, metavar="FILE", help="write the cells of --full there")
    images.add_argument("--sizes", type=_odd, nargs="+", metavar="K", help="odd kernel sizes (default: 3 to 63)")
    images.add_argument("--seconds", type=_seconds, default=12.0, help="for each of the four panels (default: 12)")
    images.add_argument("--threads", type=_count, help="default: as fastconv chooses")
    images.add_argument("--out", type=Path, default=Path("bench-results"), help="output folder")

    ladder = subparsers.add_parser("ladder", help="error against speed, for backends that trade one for the other")
    ladder.set_defaults(command=commands_more.ladder)
    ladder.add_argument("--layers", nargs="+", default=[], metavar="PATTERN", help="default: five dense layers")
    ladder.add_argument("--seconds", type=_seconds, default=2.0, help="for one layer (default: 2)")
    ladder.add_argument("--threads", type=_count, help="default: as fastconv chooses")
    ladder.add_argument("--out", type=Path, default=Path("bench-results"), help="output folder")

    calibrate = subparsers.add_parser("calibrate", help="measure this machine for fastconv's cost model")
    calibrate.set_defaults(command=commands_more.calibrate)
    calibrate.add_argument("--threads", type=_count, help="default: as fastconv chooses")
    calibrate.add_argument("--out", type=Path, help="JSON file (default: where fastconv reads it)")
    return parser


def _add_common(parser: argparse.ArgumentParser, folder: str) -> None:
    parser.add_argument("--layers", nargs="+", default=[], metavar="PATTERN", help="e.g. 'resnet*' 'sweep_k3'")
    parser.add_argument("--passes", nargs="+", choices=PASSES, default=list(PASSES))
    parser.add_argument("--max-kernel", type=_count, metavar="K", help="leave out larger kernels")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--threads", type=_count, help="default: as fastconv chooses")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(folder), help=f"output folder (default: {folder})")


def _add_networks(parser: argparse.ArgumentParser, passes: tuple[str, ...], seconds: float) -> None:
    parser.add_argument("--networks", type=_words, default=[], metavar="PATTERN,...", help="e.g. resnet18,'mobile*'")
    parser.add_argument("--passes", type=_one_of(*passes), default=list(passes), help=",".join(passes))
    parser.add_argument("--threads", type=_count, help="default: as fastconv chooses")
    parser.add_argument("--seconds", type=_seconds, default=seconds, help=f"for a layer and pass (default: {seconds})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")


def _count(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of 1 or more")
    return int(text)


def _odd(text: str) -> int:
    if _count(text) % 2 == 0:
        raise argparse.ArgumentTypeError(f"{text!r} must be odd: an even kernel's middle is another pixel elsewhere")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} must be a time in seconds")
    return seconds


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(text: str) -> list[int]:
    if not (found := _words(text)) or not all(word.isdigit() and int(word) for word in found):
        raise argparse.ArgumentTypeError(f"{text!r} must hold numbers of 1 or more")
    return [int(word) for word in found]


def _one_of(*allowed: str) -> Callable[[str], list[str]]:
    """Words between commas, of which each must be one of `allowed`."""

    def words(text: str) -> list[str]:
        if not (found := _words(text)) or not set(found) <= set(allowed):
            raise argparse.ArgumentTypeError(f"{text!r} must hold only {', '.join(allowed)}")
        return found

    return words


if __name__ == "__main__":
    sys.exit(main())
