"""How to read each chart, in a line or two; the page shows them, and readers who do not see the chart hear them."""

from __future__ import annotations

_LAYERS = "Layers of known networks, {}: time as a multiple of the fastest backend's."
CAPTIONS = {
    "flops_time": "Each line is an algorithm; the legend says how steep it is: 1 means that twice the operations take "
    "twice the time. Grey lines are what this machine could do; open markers were left out and stand at their "
    "predicted time; a black ring is what auto picks.",
    "flops_time_engines": "The same for the other engine of each algorithm, where it has two.",
    "time_kernel": "Lower is better. Dotted verticals mark where the fastest algorithm changes.",
    "speed_kernel": "Higher is better. Operations are those of the formula, taps on padding included, so an algorithm "
    "that does fewer rises above the ceiling of the multipliers.",
    "accuracy": "Up is faster, left is more exact: a point a kernel size.",
    "roofline": "The roof is what bandwidth (the slope) and multipliers (the flat part) allow an algorithm that does "
    "all operations of the formula.",
    "speedups": "A panel for each peer: layers in order, below 1 and hollow where the peer is faster.",
    "network": "All convolutions of the network, stacked layer by layer; a layer has one colour in all bars.",
    "layers_forward": _LAYERS.format("forward"),
    "layers_grad_input": _LAYERS.format("gradient of the input"),
    "layers_grad_weight": _LAYERS.format("gradient of the weights"),
    "regret": "1 means that nothing would have been faster than what auto took; the higher the right end, the "
    "worse the worst choices.",
    "scaling": "A 3x3 layer; the slope of each fitted line stands in the legend, grey is what would be ideal.",
    "workspace": "Scratch memory that a forward pass took, beside its result; the black ticks are what the planner "
    "counts with when it is given a limit.",
    "phases": "How long the first result takes to come, and a call from then on.",
}


def caption(name: str) -> str:
    """The caption of a chart of `bench.charts.figures`; one for all networks, and for all that grows."""
    return CAPTIONS.get(name) or CAPTIONS[name.split("_")[0]]
