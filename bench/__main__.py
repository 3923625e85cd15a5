"""Command line of the benchmarks: ``python -m bench --help``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from bench.workloads import PASSES

_console = Console(width=None if sys.stdout.isatty() else 110)


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 1 after a wrong answer, 2 for a request that makes no sense."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except (ValueError, OSError, RuntimeError) as error:
        Console(stderr=True).print(f"[red]bench:[/] {error}", highlight=False)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Benchmarks of fastconv.")
    commands = parser.add_subparsers(required=True)

    run = commands.add_parser("run", help="every backend over kernel sizes and layers; charts and report")
    run.set_defaults(command=_run)
    length = run.add_mutually_exclusive_group()
    length.add_argument("--full", action="store_true", help="half an hour: slow backends too, more rounds")
    length.add_argument("--quick", action="store_true", help="seconds: a few small layers")
    run.add_argument("--backends", nargs="+", default=[], metavar="PATTERN", help="e.g. 'im2col/*'")
    run.add_argument("--no-photo", action="store_true", help="leave the photograph out")
    run.add_argument("--seconds", type=float, help="time for all measurements together")
    _add_common(run, "bench-results")

    chart = commands.add_parser(
        "chart", help="redraw charts and report from a JSON file of run, compare or pytest bench"
    )
    chart.set_defaults(command=_chart)
    chart.add_argument("json", type=Path, nargs="?", default=Path("bench-results/benchmark.json"))
    chart.add_argument("--out", type=Path, help="output folder (default: beside the JSON file)")

    compare = commands.add_parser("compare", help="fastconv against every installed peer")
    compare.set_defaults(command=_compare)
    compare.add_argument("--peers", nargs="+", default=[], metavar="PATTERN", help="e.g. 'torch*' jax")
    compare.add_argument(
        "--backends", nargs="+", default=["auto"], metavar="NAME", help="fastconv's side (default: auto)"
    )
    compare.add_argument("--rounds", type=int, help="visits to each cell (default: as the time allows)")
    compare.add_argument("--seconds", type=float, default=1.0, help="for one layer and pass (default: 1)")
    _add_common(compare, "bench-results")

    others = commands.add_parser("others", help="pooling and transposed convolution against PyTorch")
    others.set_defaults(command=_others)
    others.add_argument("--seconds", type=float, default=1.0, help="for one row (default: 1)")
    others.add_argument("--only", nargs="+", default=[], metavar="PATTERN", help="e.g. 'max*' 'transposed*'")
    others.add_argument("--threads", type=int, help="default: as fastconv chooses")

    gallery = commands.add_parser("gallery", help="the lectures told in pictures that the library draws")
    gallery.set_defaults(command=_gallery)
    gallery.add_argument("--out", type=Path, default=Path("bench-results/gallery"), help="output folder")

    images = commands.add_parser("images", help="image filters against OpenCV and SciPy over kernel sizes")
    images.set_defaults(command=_images)
    images.add_argument("--sizes", type=int, nargs="+", metavar="K", help="kernel sizes (default: 3 to 63)")
    images.add_argument("--seconds", type=float, default=12.0, help="for each of the four panels (default: 12)")
    images.add_argument("--threads", type=int, help="default: as fastconv chooses")
    images.add_argument("--out", type=Path, default=Path("bench-results"), help="output folder")

    ladder = commands.add_parser("ladder", help="error against speed, for backends that trade one for the other")
    ladder.set_defaults(command=_ladder)
    ladder.add_argument("--layers", nargs="+", default=[], metavar="PATTERN", help="default: five dense layers")
    ladder.add_argument("--seconds", type=float, default=2.0, help="for one layer (default: 2)")
    ladder.add_argument("--threads", type=int, help="default: as fastconv chooses")
    ladder.add_argument("--out", type=Path, default=Path("bench-results"), help="output folder")

    calibrate = commands.add_parser("calibrate", help="measure this machine for fastconv's cost model")
    calibrate.set_defaults(command=_calibrate)
    calibrate.add_argument("--threads", type=int, help="default: as fastconv chooses")
    calibrate.add_argument("--out", type=Path, help="JSON file (default: where fastconv reads it)")
    return parser


def _add_common(parser: argparse.ArgumentParser, folder: str) -> None:
    parser.add_argument("--layers", nargs="+", default=[], metavar="PATTERN", help="e.g. 'resnet*' 'sweep_k3'")
    parser.add_argument("--passes", nargs="+", choices=PASSES, default=list(PASSES))
    parser.add_argument("--max-kernel", type=int, metavar="K", help="leave out larger kernels")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--threads", type=int, help="default: as fastconv chooses")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(folder), help=f"output folder (default: {folder})")


def _run(arguments: argparse.Namespace) -> int:
    import fastconv
    from bench import panel, photo, records, report, tables
    from bench import run as runs

    settings = runs.FULL if arguments.full else runs.QUICK if arguments.quick else runs.DEFAULT
    given = {
        "layers": tuple(arguments.layers),
        "backends": tuple(arguments.backends),
        "seconds": arguments.seconds,
        "max_kernel": arguments.max_kernel,
    }
    settings = settings._replace(
        passes=tuple(arguments.passes),
        dtype=arguments.dtype,
        seed=arguments.seed,
        photo=not arguments.no_photo,
        **{key: value for key, value in given.items() if value},
    )
    threads = arguments.threads or fastconv.get_num_threads()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with fastconv.num_threads(threads):
        pictures = panel.encode(photo.filtered()) if settings.photo else {}
        outcome = runs.Runner(settings, _console).run()
    missing = {"wrong": outcome.wrong, "skipped": outcome.skipped, "refused": outcome.refused}
    doc = records.document(outcome.benchmarks, threads, **missing, photograph=pictures)
    rows = records.rows_of(doc)
    records.save(arguments.out / "benchmark.json", doc)
    records.save_csv(arguments.out / "benchmark.csv", rows)
    with _console.status("drawing charts"):
        path = report.draw(doc, arguments.out)
    _console.print(f"Report: {path.resolve()}", soft_wrap=True, highlight=False)
    for table in (tables.winners_table(rows), tables.Summary(rows, missing).table()):
        if table is not None:
            _console.print(table)
    if outcome.skipped:
        _console.print(f"{len(outcome.skipped)} slow cells were left out; the report names them.")
    if outcome.wrong:
        _console.print(f"[bold white on red] {len(outcome.wrong)} WRONG ANSWERS [/] are named in the report.")
    return 1 if outcome.wrong else 0


def _compare(arguments: argparse.Namespace) -> int:
    import fastconv
    from bench import compare, compare_report, ratios, records

    settings = compare.Settings(
        layers=tuple(arguments.layers),
        passes=tuple(arguments.passes),
        peers=tuple(arguments.peers),
        backends=tuple(arguments.backends),
        max_kernel=arguments.max_kernel,
        dtype=arguments.dtype,
        seconds=arguments.seconds,
        seed=arguments.seed,
        **({"rounds": (arguments.rounds, arguments.rounds)} if arguments.rounds else {}),
    )
    threads = arguments.threads or fastconv.get_num_threads()
    with fastconv.num_threads(threads):
        comparer = compare.Comparer(settings, _console)
        benchmarks = comparer.run()
    doc = records.document(benchmarks, threads, comparison=True, left_out=comparer.left_out)
    rows = records.rows_of(doc)
    arguments.out.mkdir(parents=True, exist_ok=True)
    records.save(arguments.out / "compare.json", doc)
    records.save_csv(arguments.out / "compare.csv", rows)
    path = compare_report.draw(doc, arguments.out)
    for table in compare_report.tables(ratios.comparisons(rows)):
        _console.print(table)
    _console.print(f"Report: {path.resolve()}", soft_wrap=True, highlight=False)
    return 1 if any(entry["reason"].startswith("WRONG") for entry in comparer.left_out) else 0


def _images(arguments: argparse.Namespace) -> int:
    import json

    import fastconv
    from bench import images, records

    threads = arguments.threads or fastconv.get_num_threads()
    sizes = tuple(arguments.sizes or images.SIZES)
    rows = []
    with fastconv.num_threads(threads):
        for panel in images.PANELS:
            with _console.status(f"measuring: {panel.title}"):
                rows += images.measure(panel, sizes, arguments.seconds, threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    doc = {"environment": records.environment(threads), "rows": rows}
    (arguments.out / "images.json").write_text(json.dumps(doc, indent=1) + "\n", encoding="utf-8")
    for panel in images.PANELS:
        for peer in ("OpenCV", "scipy.ndimage", "scipy.signal"):
            won = images.ratios(rows, panel.name, peer)
            if won:
                each = "  ".join(f"{size}: {ratio:.2f}" for size, ratio in won.items())
                _console.print(f"{panel.title}, times as fast as {peer}:  {each}", highlight=False)
    name = images.draw(rows, arguments.out, threads)
    _console.print(f"Chart: {(arguments.out / name).resolve()}.svg", soft_wrap=True, highlight=False)
    wrong = [row for row in rows if row["seconds"] is None]
    for row in wrong:
        _console.print(f"[bold white on red] WRONG [/] {row}")
    return 1 if wrong else 0


def _calibrate(arguments: argparse.Namespace) -> int:
    import fastconv
    from bench import calibrate

    with fastconv.num_threads(arguments.threads or fastconv.get_num_threads()):
        with _console.status("measuring for about eight seconds"):
            rates = calibrate.measure()
        path = calibrate.save(rates, arguments.out)
    _console.print_json(data=rates)
    _console.print(f"Rates: {path.resolve()}", soft_wrap=True, highlight=False)
    return 0


def _others(arguments: argparse.Namespace) -> int:
    import fastconv
    from bench import others

    threads = arguments.threads or fastconv.get_num_threads()
    with fastconv.num_threads(threads):
        rows = others.measure(arguments.only, arguments.seconds, threads)
    for table in others.tables(rows):
        _console.print(table)
    return 1 if any(not row.right for row in rows) else 0


def _ladder(arguments: argparse.Namespace) -> int:
    import fastconv
    from bench import ladder

    threads = arguments.threads or fastconv.get_num_threads()
    with fastconv.num_threads(threads):
        rungs = ladder.measure(arguments.layers, arguments.seconds, threads)
    _console.print(ladder.table(rungs))
    name = ladder.draw(rungs, arguments.out)
    _console.print(f"Chart: {(arguments.out / name).resolve()}.svg", soft_wrap=True, highlight=False)
    return 0


def _gallery(arguments: argparse.Namespace) -> int:
    from bench import gallery

    with _console.status("drawing"):
        names = gallery.draw(arguments.out)
    _console.print(f"{len(names)} pictures: {arguments.out.resolve()}", soft_wrap=True, highlight=False)
    return 0


def _chart(arguments: argparse.Namespace) -> int:
    from bench import compare_report, records, report

    doc = records.load(arguments.json)
    draw = compare_report.draw if doc.get("comparison") else report.draw
    path = draw(doc, arguments.out or arguments.json.parent)
    _console.print(f"Report: {path.resolve()}", soft_wrap=True, highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
