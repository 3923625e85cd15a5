"""``python -m bench regret``: how much slower auto's choice is than the best of what it could have chosen."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

import fastconv
from bench import subjects
from bench.checks import Candidate, check
from bench.measure import interleave
from bench.networks import PASSES
from bench.oracle import Oracle
from bench.run import progress_bar
from bench.workloads import Layer, load_networks, make_tensors, matches, random_layers


class Settings(NamedTuple):
    """What to measure; `within` limits candidates to that many times the shortest predicted time."""

    networks: tuple[str, ...] = ()
    random: int = 200
    passes: tuple[str, ...] = ("forward", "gradients")
    backends: tuple[str, ...] = ()
    within: float = 4.0
    seconds: float = 0.1  # for the candidates of one layer and pass together
    rounds: tuple[int, int] = (3, 20)
    seed: int = 0


class Case(NamedTuple):
    """One problem in one pass: auto's choice, and median seconds of every candidate by backend."""

    problem: str
    pass_: str
    chosen: str
    times: dict[str, float]

    @property
    def best(self) -> str:
        """The fastest candidate."""
        return min(self.times, key=lambda name: self.times[name])

    @property
    def regret(self) -> float:
        """Time of auto's choice over the best time."""
        return self.times[self.chosen] / self.times[self.best]


def groups(settings: Settings) -> list[tuple[Layer, str]]:
    """The layers of the networks and the random ones, in every pass; each once."""
    known = {layer: None for layers in load_networks(settings.networks).values() for layer in layers}
    drawn = random_layers(settings.random, settings.seed)
    found: dict[tuple[Layer, str], None] = {}
    for asked in settings.passes:
        timed, n = PASSES[asked]
        for layer in (*(layer._replace(n=n) for layer in known), *drawn):
            found.update(dict.fromkeys((layer, pass_) for pass_ in timed))
    return list(found)


def measure(settings: Settings, console: Console) -> tuple[list[Case], list[str]]:
    """Every case whose chosen backend was timed, and what is wrong: candidates that gave no right answer."""
    cases, wrong, rng = [], [], random.Random(settings.seed)
    todo = groups(settings)
    with progress_bar(console) as progress:
        task = progress.add_task("", total=len(todo))
        for layer, pass_ in todo:
            problem = str(layer.problem("float32"))
            progress.update(task, description=pass_)
            tensors, chosen, cells = make_tensors(layer, seed=settings.seed), "", []
            oracle = Oracle(layer, pass_, tensors, settings.seed)
            for name, is_chosen in _candidates(layer, pass_, settings):
                call = subjects.call_of(layer, pass_, tensors, name)
                verdict = check(Candidate(name, lambda call=call: call), oracle)  # type: ignore[misc]
                if verdict.reason:
                    wrong.append(f"{name}, {problem} {pass_}: {verdict.reason}")
                    console.print(f"[bold white on red]WRONG[/] {escape(wrong[-1])}")
                if verdict.cell is not None:
                    cells.append(verdict.cell)
                    chosen = name if is_chosen else chosen
            interleave(cells, settings.seconds, rounds=settings.rounds, rng=rng)
            if chosen:
                times = {cell.name: float(np.median(cell.samples)) for cell in cells}
                cases.append(Case(problem, pass_, chosen, times))
            progress.advance(task)
    return cases, wrong


def _candidates(layer: Layer, pass_: str, settings: Settings) -> list[tuple[str, bool]]:
    """Backends whose predicted time is near the best predicted, and whether auto takes them; auto's in any case."""
    known: Any = pass_  # one of PASSES, as `fastconv.core.typing.Pass` names them
    found = fastconv.explain(layer.x_shape, layer.w_shape, pass_=known, **layer.options)
    able = [row for row in found.rows if row["status"] != "refused" and matches(row["backend"], settings.backends)]
    limit = settings.within * min((row["predicted_seconds"] for row in able), default=0.0)
    return [
        (row["backend"], row["backend"] == found.chosen)
        for row in found.rows
        if row["backend"] == found.chosen or (row in able and row["predicted_seconds"] <= limit)
    ]


def summary(cases: Sequence[Case]) -> dict[str, float]:
    """Median, 95th percentile and worst of the regrets, and the share of cases above 1.25; the count alone of none."""
    if not cases:
        return {"cases": 0}
    regrets = np.array([case.regret for case in cases])
    middle, high, worst = (float(v) for v in np.percentile(regrets, (50, 95, 100)))
    return {
        "cases": len(cases),
        "median": middle,
        "p95": high,
        "worst": worst,
        "over 1.25": float((regrets > 1.25).mean()),
    }


def tables(cases: Sequence[Case], threads: int, worst: int = 10) -> list[Table]:
    """A row a pass and one for all; then the cases with the largest regret, as problems to try again."""
    if not cases:
        return []
    title = f"time of auto's choice over the best, {threads} threads"
    about = Table("pass", "cases", "median", "95th percentile", "worst", "over 1.25", title=title)
    by_pass = {pass_: [c for c in cases if c.pass_ == pass_] for pass_ in dict.fromkeys(c.pass_ for c in cases)}
    for name, chosen in {**by_pass, "all": list(cases)}.items():
        s = summary(chosen)
        figures = (f"{s[key]:.2f}" for key in ("median", "p95", "worst"))
        about.add_row(name, str(len(chosen)), *figures, f"{s['over 1.25']:.1%}")
    bad = Table("regret", Column("problem", overflow="fold"), "pass", "chosen", "us", title="the largest regrets")
    bad.add_column("best")
    bad.add_column("us")
    for case in sorted(cases, key=lambda case: -case.regret)[:worst]:
        mine, best = (f"{case.times[name] * 1e6:.0f}" for name in (case.chosen, case.best))
        bad.add_row(f"{case.regret:.2f}", case.problem, case.pass_, case.chosen, mine, case.best, best)
    return [about, bad]
