"""What the command line does: settings from arguments, measurements, files and tables; returns the exit code."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

console = Console(width=None if sys.stdout.isatty() else 110)


def run(arguments: argparse.Namespace) -> int:
    import fastconv
    from bench import ceilings, panel, photo, records, report, resume, tables
    from bench import run as runs

    settings = runs.FULL if arguments.full else runs.QUICK if arguments.quick else runs.DEFAULT
    given = {
        "layers": tuple(arguments.layers),
        "backends": tuple(arguments.backends),
        "cells": tuple(arguments.filter),
        "seconds": arguments.seconds,
        "max_kernel": arguments.max_kernel,
    }
    partly = bool(arguments.layers or arguments.backends or arguments.filter)
    settings = settings._replace(
        passes=tuple(arguments.passes),
        dtype=arguments.dtype,
        seed=arguments.seed,
        photo=not arguments.no_photo,
        networks=None if partly else settings.networks,
        around=settings.around and not partly,
        **{key: value for key, value in given.items() if value},
    )
    runs.ensure_cells(settings)
    threads = arguments.threads or fastconv.get_num_threads()
    arguments.out.mkdir(parents=True, exist_ok=True)
    store = resume.Store(arguments.out / "interrupted.json", {**settings._asdict(), "threads": threads})
    if arguments.fresh:
        store.done()
    with fastconv.num_threads(threads):
        pictures = panel.encode(photo.filtered()) if settings.photo else {}
        top = ceilings.measure(threads, settings.dtype)
        outcome = runs.Runner(settings, console, store).run()
        found = _networks(settings.networks, settings.seed) if settings.networks is not None else {}
        around = _around(threads, compiling=arguments.full) if settings.around else {}
    missing = {"wrong": outcome.wrong, "skipped": outcome.skipped, "refused": outcome.refused}
    doc = records.document(
        outcome.benchmarks,
        threads,
        **missing,
        auto=outcome.auto,
        probes=outcome.probes,
        ceilings=top._asdict(),
        networks=found,
        photograph=pictures,
        **around,
    )
    rows = records.rows_of(doc)
    records.save(arguments.out / "benchmark.json", doc)
    store.done()
    records.save_csv(arguments.out / "benchmark.csv", rows)
    with console.status("drawing charts"):
        path = report.draw(doc, arguments.out)
    console.print(f"Report: {path.resolve()}", soft_wrap=True, highlight=False)
    for table in (tables.winners_table(rows), tables.Summary(rows, missing).table()):
        if table is not None:
            console.print(table)
    if outcome.skipped:
        console.print(f"{len(outcome.skipped)} slow cells were left out; the report names them.")
    wrong = len(outcome.wrong) + len(found.get("wrong", []))
    if wrong:
        console.print(f"[bold white on red] {wrong} WRONG ANSWERS [/] are named in the report.")
    return 1 if wrong else 0


def _networks(names: tuple[str, ...], seed: int) -> dict[str, Any]:
    """The convolutions of whole networks, NCHW arrays, as plain JSON: the second part of a run."""
    from bench import networks, networks_report

    settings = networks.Settings(names, passes=("forward",), layouts=("nchw",), seconds=0.08, rounds=(9, 20), seed=seed)
    measurer = networks.Measurer(settings, console)
    return networks_report.document(measurer.run(), measurer.probes, measurer.missing, measurer.wrong)


def _around(threads: int, *, compiling: bool) -> dict[str, list[dict[str, Any]]]:
    """Scaling, scratch memory and phases, as plain JSON: the last part of a run."""
    from bench import memory, phases, scaling

    with console.status("measuring scaling, scratch memory and phases"):
        return {
            "scaling": [point._asdict() for point in scaling.measure(threads)],
            "workspace": [need._asdict() for need in memory.measure()],
            "phases": [phase._asdict() for phase in phases.measure(threads, compiling=compiling)],
        }


def compare(arguments: argparse.Namespace) -> int:
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
        comparer = compare.Comparer(settings, console)
        benchmarks = comparer.run()
    doc = records.document(
        benchmarks,
        threads,
        comparison=True,
        left_out=comparer.left_out,
        probes=[glance._asdict() for glance in comparer.lookout.glances],
    )
    rows = records.rows_of(doc)
    arguments.out.mkdir(parents=True, exist_ok=True)
    records.save(arguments.out / "compare.json", doc)
    records.save_csv(arguments.out / "compare.csv", rows)
    path = compare_report.draw(doc, arguments.out)
    print_tables(compare_report.tables(ratios.comparisons(rows)))
    console.print(f"Report: {path.resolve()}", soft_wrap=True, highlight=False)
    return 1 if any(entry["reason"].startswith("WRONG") for entry in comparer.left_out) else 0


def networks(arguments: argparse.Namespace) -> int:
    import fastconv
    from bench import networks, networks_report, records
    from fastconv.engines import loader

    chosen = arguments.networks or (networks.QUICK_NETWORKS if arguments.quick else ())
    settings = networks.Settings(
        networks=tuple(chosen),
        passes=tuple(arguments.passes),
        layouts=tuple(arguments.layouts),
        peers=tuple(arguments.peers or networks.PEERS),
        seconds=arguments.seconds,
        seed=arguments.seed,
    )
    if arguments.quick:
        settings = settings._replace(seconds=0.0, rounds=(3, 3))
    threads = arguments.threads or fastconv.get_num_threads()
    with fastconv.num_threads(threads):
        measurer = networks.Measurer(settings, console)
        found = measurer.run()
        print_tables(networks_report.tables(found, threads))
        save_json(
            arguments.json,
            {
                "environment": records.environment(threads),
                "isa": loader.isa(),
                **networks_report.document(found, measurer.probes, measurer.missing, measurer.wrong),
            },
        )
    if measurer.wrong:
        console.print(f"[bold white on red] {len(measurer.wrong)} WRONG [/] or failed, named above.")
    return 1 if measurer.wrong else 0


def whole(arguments: argparse.Namespace) -> int:
    import fastconv
    from bench import records, whole, whole_report, whole_training, zoo

    settings = whole.Settings(
        networks=tuple(arguments.networks or (zoo.QUICK if arguments.quick else ())),
        peers=tuple(arguments.peers),
        batches=tuple(arguments.batch),
        inductor=arguments.inductor,
        seconds=0.0 if arguments.quick else arguments.seconds,
        rounds=(3, 3) if arguments.quick else whole.Settings().rounds,
        seed=arguments.seed,
    )
    threads = arguments.threads or fastconv.get_num_threads()
    with fastconv.num_threads(threads):
        measurer = whole.Measurer(settings, console)
        if arguments.training:
            whole_training.steps(measurer)
            if "lenet" in zoo.chosen(settings.networks):
                whole_training.digits(measurer)
        else:
            measurer.inference()
    print_tables(whole_report.tables(measurer.records, threads))
    found = whole_report.document(measurer.records, measurer.probes, missing=measurer.missing, wrong=measurer.wrong)
    save_json(arguments.json, {"environment": records.environment(threads), **found})
    return 1 if measurer.wrong else 0


def regret(arguments: argparse.Namespace) -> int:
    import fastconv
    from bench import records, regret
    from fastconv.engines import loader

    settings = regret.Settings(
        networks=tuple(arguments.networks),
        random=arguments.random,
        passes=tuple(arguments.passes),
        backends=tuple(arguments.backends),
        seconds=arguments.seconds,
        seed=arguments.seed,
    )
    threads = arguments.threads or fastconv.get_num_threads()
    with fastconv.num_threads(threads):
        cases, wrong = regret.measure(settings, console)
        print_tables(regret.tables(cases, threads))
        save_json(
            arguments.json,
            {
                "environment": records.environment(threads),
                "isa": loader.isa(),
                "summary": regret.summary(cases),
                "cases": [{**case._asdict(), "regret": case.regret} for case in cases],
                "wrong": wrong,
            },
        )
    return 1 if wrong else 0


def overhead(arguments: argparse.Namespace) -> int:
    import fastconv
    from bench import overhead

    threads = arguments.threads or fastconv.get_num_threads()
    with fastconv.num_threads(threads):
        print_tables([overhead.table(overhead.measure(arguments.seconds, threads))])
    return 0


def threads(arguments: argparse.Namespace) -> int:
    import fastconv
    from bench import threads

    count = arguments.threads or fastconv.get_num_threads()
    with fastconv.num_threads(count), console.status("measuring"):
        launch, rows = threads.measure(arguments.seconds, count)
    print_tables([threads.table(launch, rows, count)])
    return 0


def others(arguments: argparse.Namespace) -> int:
    import fastconv
    from bench import others

    threads = arguments.threads or fastconv.get_num_threads()
    with fastconv.num_threads(threads):
        rows = others.measure(arguments.only, arguments.seconds, threads)
    print_tables(others.tables(rows))
    return 1 if any(not row.right for row in rows) else 0


def print_tables(found: Iterable[Table]) -> None:
    for table in found:
        console.print(table)


def save_json(path: Path | None, doc: dict[str, Any]) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(doc, indent=1) + "\n", encoding="utf-8")
        console.print(f"Results: {path.resolve()}", soft_wrap=True, highlight=False)
