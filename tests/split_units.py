"""The split backends on every unit that can run here: the arithmetic of any machine, tiles in arrays, VDPBF16PS.

python -m tests.split_units      all of them between guard pages
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from fastconv.algorithms.split_bf16 import SplitBf16, SplitBf16x1, SplitBf16x6
from fastconv.engines import loader
from tests import battery, guard

VARIANTS = (SplitBf16x1, SplitBf16, SplitBf16x6)


def units() -> list[str]:
    """Units for bfloat16 are tested where they are; a CPU with AMX has AVX512_BF16 too."""
    if loader.absent("cython"):
        return []
    found = loader.bf16()[0]
    return ["plain", "tiles", *(["avx512_bf16"] if found else []), *(["amx"] if found == "amx" else [])]


def on_unit(variant: type[SplitBf16], unit: str) -> SplitBf16:
    """A backend of its own name, with the unit at its end."""
    backend = variant("cython", loader.load, loader.vector_bytes(), (unit, ""))
    backend.algorithm = f"{variant.algorithm}_{unit}"
    return backend


@contextmanager
def registered(*variants: Any) -> Iterator[list[str]]:
    """The variants (all by default) on all units, in the table inside the ``with`` block only."""
    made = [on_unit(v, unit) for v in variants or VARIANTS for unit in units()]
    with ExitStack() as stack:
        yield [stack.enter_context(battery.registered(b)) for b in made]


if __name__ == "__main__":
    with registered(SplitBf16) as names:
        print(sum(guard.main(name) for name in names), "runs")
    sys.exit()
