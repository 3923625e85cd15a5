"""How often auto's choice is how much slower than the best it could have taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from bench.style import TITLES

_LOOKS = {"forward": ("#0072B2", "-"), "grad_input": ("#D55E00", "--"), "grad_weight": ("#009E73", "-.")}


def regret(results: Mapping[str, Any]) -> Figure:
    """
    Cases in order of their regret, a line a pass: time of auto's choice over the best candidate's, 1 where it is best.

    Parameters
    ----------
    results : document of ``python -m bench regret --json FILE``

    Raises
    ------
    ValueError
        If there are no cases.
    """
    cases = results.get("cases", [])
    if not cases:
        raise ValueError("results: no regret was measured")
    figure, axis = plt.subplots(figsize=(7.5, 4.6), layout="constrained")
    for pass_ in dict.fromkeys(case["pass_"] for case in cases):
        values = np.sort([case["regret"] for case in cases if case["pass_"] == pass_])
        share = 100 * np.arange(1, len(values) + 1) / len(values)
        colour, style = _LOOKS.get(pass_, ("#000000", ":"))
        label = f"{TITLES.get(pass_, pass_)}: median {np.median(values):.2f}, worst {values[-1]:.2f} of {len(values)}"
        axis.step(share, values, where="post", color=colour, linestyle=style, label=label)
        worst = max((case for case in cases if case["pass_"] == pass_), key=lambda case: case["regret"])
        axis.plot(100, worst["regret"], "o", color=colour, markersize=4, clip_on=False)
    axis.axhline(1, color="0.55", linewidth=1)
    axis.set(yscale="log", xlim=(0, 100), xlabel="% of the cases, least regret first", ylabel="time over the best")
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_title("Regret of auto's choice")
    axis.legend(frameon=False, loc="upper left")
    return figure
