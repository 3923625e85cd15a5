"""Commands of the command line that draw, compare files, or measure something else than convolutions."""

from __future__ import annotations

import argparse
import json

from bench.commands import console, print_tables


def diff(arguments: argparse.Namespace) -> int:
    from bench import diff

    found = diff.compare(diff.load(arguments.old), diff.load(arguments.new), arguments.least)
    print_tables(diff.tables(found))
    console.print(diff.words(found), highlight=False)
    return 1 if found.slower or found.all_slower else 0


def chart(arguments: argparse.Namespace) -> int:
    from bench import compare_report, records, report

    doc = records.load(arguments.json)
    draw = compare_report.draw if doc.get("comparison") else report.draw
    path = draw(doc, arguments.out or arguments.json.parent)
    console.print(f"Report: {path.resolve()}", soft_wrap=True, highlight=False)
    return 0


def gallery(arguments: argparse.Namespace) -> int:
    from bench import gallery

    with console.status("drawing"):
        names = gallery.draw(arguments.out)
    console.print(f"{len(names)} pictures: {arguments.out.resolve()}", soft_wrap=True, highlight=False)
    return 0


def images(arguments: argparse.Namespace) -> int:
    import fastconv
    from bench import image_table, images, records

    if arguments.full:
        return image_table.command(arguments, console)
    threads = arguments.threads or fastconv.get_num_threads()
    sizes = tuple(arguments.sizes or images.SIZES)
    rows = []
    with fastconv.num_threads(threads):
        for panel in images.PANELS:
            with console.status(f"measuring: {panel.title}"):
                rows += images.measure(panel, sizes, arguments.seconds, threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    doc = {"environment": records.environment(threads), "rows": rows}
    (arguments.out / "images.json").write_text(json.dumps(doc, indent=1) + "\n", encoding="utf-8")
    for panel in images.PANELS:
        for peer in ("OpenCV", "scipy.ndimage", "scipy.signal"):
            won = images.ratios(rows, panel.name, peer)
            if won:
                each = "  ".join(f"{size}: {ratio:.2f}" for size, ratio in won.items())
                console.print(f"{panel.title}, times as fast as {peer}:  {each}", highlight=False)
    name = images.draw(rows, arguments.out, threads)
    console.print(f"Chart: {(arguments.out / name).resolve()}.svg", soft_wrap=True, highlight=False)
    wrong = [row for row in rows if row["seconds"] is None]
    for row in wrong:
        console.print(f"[bold white on red] WRONG [/] {row}")
    return 1 if wrong else 0


def ladder(arguments: argparse.Namespace) -> int:
    import fastconv
    from bench import ladder

    threads = arguments.threads or fastconv.get_num_threads()
    with fastconv.num_threads(threads):
        rungs = ladder.measure(arguments.layers, arguments.seconds, threads)
    console.print(ladder.table(rungs))
    name = ladder.draw(rungs, arguments.out)
    console.print(f"Chart: {(arguments.out / name).resolve()}.svg", soft_wrap=True, highlight=False)
    return 0


def calibrate(arguments: argparse.Namespace) -> int:
    import fastconv
    from bench import calibrate

    with fastconv.num_threads(arguments.threads or fastconv.get_num_threads()):
        with console.status("measuring for about eight seconds"):
            rates = calibrate.measure()
        path = calibrate.save(rates, arguments.out)
    console.print_json(data=rates)
    console.print(f"Rates: {path.resolve()}", soft_wrap=True, highlight=False)
    return 0
