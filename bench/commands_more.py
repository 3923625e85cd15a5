"""Commands of the command line that draw, compare files, or measure something else than convolutions."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from bench.commands import console, print_tables


def diff(arguments: argparse.Namespace) -> int:
    from bench import diff

    found = diff.compare(diff.load(arguments.old), diff.load(arguments.new), arguments.least)
    print_tables(diff.tables(found))
    console.print(diff.words(found), highlight=False)
    return 1 if found.slower or found.all_slower else 0


def chart(arguments: argparse.Namespace) -> int:
    from bench import charts, images, records

    doc, out = records.load_any(arguments.json), arguments.out or arguments.json.parent
    if "benchmarks" in doc:
        said = f"Report: {_page(doc, out).resolve()}"
    else:
        out.mkdir(parents=True, exist_ok=True)
        names = [charts.draw(figure, out, name) for name, (figure, _) in charts.figures(doc).items()]
        if images.drawable(doc.get("rows", [])):
            names.append(images.draw(doc["rows"], out, doc["environment"]["threads"]))
        if not names:
            raise ValueError(f"{arguments.json}: there is nothing to draw in it")
        said = f"{len(names)} charts: {out.resolve()}: {', '.join(names)}"
    console.print(said, soft_wrap=True, highlight=False)
    return 0


def report(arguments: argparse.Namespace) -> int:
    from bench import records

    path = arguments.out or arguments.json.with_name("report.html")
    with tempfile.TemporaryDirectory() as folder:
        text = _page(records.load(arguments.json), Path(folder)).read_text(encoding="utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    console.print(f"Report: {path.resolve()}, {len(text.encode()) / 1e6:.2f} MB", soft_wrap=True, highlight=False)
    return 0


def _page(doc: dict[str, Any], folder: Path) -> Path:
    """Charts and page of a run or a comparison."""
    from bench import compare_report, report

    return compare_report.draw(doc, folder) if doc.get("comparison") else report.draw(doc, folder)


def publish(arguments: argparse.Namespace) -> int:
    from bench import publish, records

    doc = records.load(arguments.json)
    path = publish.add(doc, arguments.out, machine=arguments.machine, provisional=arguments.provisional)
    console.print(f"Published: {path}, and {path.parent / 'index.md'}", soft_wrap=True, highlight=False)
    return 0


def gallery(arguments: argparse.Namespace) -> int:
    from bench import gallery

    with console.status("drawing"):
        names = gallery.draw(arguments.out)
    console.print(f"{len(names)} pictures: {arguments.out.resolve()}", soft_wrap=True, highlight=False)
    return 0


def images(arguments: argparse.Namespace) -> int:
    import fastconv
    from bench import image_peers, image_table, images, records

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
    if words := image_peers.absent():
        console.print(words, highlight=False, soft_wrap=True)
    for panel in images.PANELS:
        for peer in dict.fromkeys(row["name"] for row in rows if row["name"] != "fastconv"):
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
