"""Where the values of a network lie: one array for all of them, places used again."""

from __future__ import annotations

from math import prod

from .graph import Node

_APART = 80  # numbers between values, whole lines: equal places of two do not meet in one set of a cache
_IN_PLACE = ("activation", "affine", "gate", "norm")


def laid_out(nodes: list[Node], output: Node) -> tuple[dict[int, int], int]:
    """Where each value lies, in numbers, and how many numbers there are: the largest first, each at the first place
    that is free while it lives."""
    index = {id(node): i for i, node in enumerate(nodes)}
    owner: dict[int, Node] = {}  # the value whose memory it shares
    last: dict[int, int] = {}
    for i, node in enumerate(nodes):
        for a in node.inputs:
            last[id(a)] = i
    last[id(output)] = len(nodes)
    for i, node in enumerate(nodes):
        source = node.inputs[0] if node.inputs else node
        in_place = node.kind in _IN_PLACE and last[id(source)] == i and source.kind != "input"
        if node.kind == "view" or in_place:
            owner[id(node)] = owner.get(id(source), source)
    life = {id(n): [index[id(n)], last.get(id(n), index[id(n)])] for n in nodes if id(n) not in owner}
    for node in nodes:
        if id(node) in owner:
            span = life[id(owner[id(node)])]
            span[1] = max(span[1], last.get(id(node), index[id(node)]))
    size = {id(n): -(-prod(n.shape) // 16) * 16 + _APART for n in nodes}
    places: dict[int, int] = {}
    for key in sorted(life, key=lambda k: (-size[k], life[k])):
        begin, end = life[key]
        taken = sorted((places[k], size[k]) for k in places if life[k][0] <= end and begin <= life[k][1])
        at = 0
        for place, numbers in taken:
            if place - at >= size[key]:
                break
            at = max(at, place + numbers)
        places[key] = at
    for node in nodes:
        if id(node) in owner:
            places[id(node)] = places[id(owner[id(node)])]
    return places, max(places[k] + size[k] for k in life)
