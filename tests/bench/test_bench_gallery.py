"""The gallery draws every picture; the table of other operations is right."""

from pathlib import Path

import numpy as np
import pytest

import fastconv

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
pytest.importorskip("rich", reason="rich is not installed")
pytest.importorskip("PIL", reason="Pillow is not installed")

from bench import gallery, others
from tests.peers import needs_torch, torch


def test_every_picture_is_drawn(tmp_path: Path) -> None:
    names = gallery.draw(tmp_path, seconds=0.05)
    assert len(names) == len(set(names)) == 7
    for name in names:
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "</svg>" in (tmp_path / f"{name}.svg").read_text()


def test_paths_are_those_of_the_receptive_field() -> None:
    """Two 3x3 kernels of ones make the outer product of 1, 2, 3, 2, 1."""
    layers = [{"kernel_size": 3}, {"kernel_size": 3}]
    paths = gallery._paths(layers, 9)
    row = np.array([0, 0, 1, 2, 3, 2, 1, 0, 0])
    np.testing.assert_array_equal(paths, np.outer(row, row))
    assert np.count_nonzero(paths[4]) == fastconv.receptive_field(layers).size


@needs_torch
def test_every_task_is_its_own() -> None:
    """Tasks made before the first of them runs keep their own arrays."""
    made: list[list[others.Task]] = [others._pools(torch, 1, 1, size, 3, 2, 1) for size in (9, 15)]
    for tasks, size in zip(made, (9, 15), strict=True):
        out = (size + 1) // 2
        assert [task.ours().shape[-1] for task in tasks] == [out, out, size, size]
        assert [task.theirs[0]().shape[-1] for task in tasks] == [out, out, size, size]


@needs_torch
def test_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "TRANSPOSED", ((1, 3, 5, 2, 3, 2, 1, 1),))
    monkeypatch.setattr(others, "POOLS", ((1, 2, 9, (3, 2, 1)),))
    rows = others.measure([], 0.02, 1)
    transposed = ["transposed", "transposed, channels last"]
    assert [row.operation for row in rows] == [*transposed, "max", "average", "max, backward", "average, backward"]
    assert all(row.right and row.ours > 0 and row.theirs > 0 for row in rows)
    tables = others.tables([rows[2], rows[3]._replace(right=False)])
    assert [table.title for table in tables] == ["average", "max"]
    assert str(next(iter(tables[0].columns[0].cells))).startswith("WRONG")
    assert [row.operation for row in others.measure(["max*"], 0.02, 1)] == ["max", "max, backward"]
