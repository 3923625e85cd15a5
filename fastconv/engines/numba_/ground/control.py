"""Loops and choices in LLVM IR, for intrinsics that keep a block in registers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .emit import I64


@contextmanager
def loop(builder, start, stop, carried) -> Iterator[tuple]:
    """``for i in range(start, stop)``, run at least once: yields i and a list of loop-carried values.

    The body replaces the list's entries by their next values; after the loop it holds the final ones.
    """
    before, body, after = builder.block, builder.append_basic_block("body"), builder.append_basic_block("after")
    builder.branch(body)
    builder.position_at_end(body)
    i, *phis = (builder.phi(value.type) for value in (start, *carried))
    values = list(phis)
    yield i, values
    following = builder.add(i, I64(1))
    for phi, first, next_ in zip((i, *phis), (start, *carried), (following, *values), strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(next_, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, stop), body, after)
    builder.position_at_end(after)


def merge(builder, values, block, others, other_block):
    """One phi for each pair of values that arrive from two blocks."""
    merged = [builder.phi(value.type) for value in values]
    for phi, value, other in zip(merged, values, others, strict=True):
        phi.add_incoming(value, block)
        phi.add_incoming(other, other_block)
    return merged


@contextmanager
def cases(builder, key):
    """Yields ``case(*values)``, a context for the code of some values of `key`; nothing is done for others."""
    done = builder.append_basic_block("done")
    switch = builder.switch(key, done)

    @contextmanager
    def case(*values):
        block = builder.append_basic_block("case")
        for value in values:
            switch.add_case(I64(value), block)
        builder.position_at_end(block)
        yield
        builder.branch(done)

    yield case
    builder.position_at_end(done)
