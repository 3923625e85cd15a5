"""The table of image filters: what it covers, checks and prints; no time is asserted."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rich")

from rich.console import Console

from bench import image_cells, image_table
from bench.__main__ import main


def test_cells_cover_sizes_kernels_and_dtypes() -> None:
    cells = list(image_cells.tasks())
    names = [cell.name for cell in cells]
    assert len(set(names)) == len(names)
    for function in ("ndimage.correlate", "ndimage.gaussian_filter", "signal.convolve2d", "signal.fftconvolve"):
        mine = [cell for cell in cells if cell.function == function]
        assert {cell.shape for cell in mine} == set(image_cells.SHAPES)
        assert {"uint8", "float32", "float64"} <= {cell.dtype for cell in mine}
    assert "signal.fftconvolve 512x512 512x512 full float64" in names


def test_named_cells_are_measured_printed_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cells.json"
    patterns = ["ndimage.sobel 8x8 *", "signal.*2d 8x8 3x3 *", "filter2d* 8x8x3 3x3 uint8"]
    assert main(["images", "--full", "--filter", *patterns, "--json", str(file)]) == 0
    rows = json.loads(file.read_text())
    assert {row["function"] for row in rows} >= {"ndimage.sobel", "signal.convolve2d", "signal.correlate2d"}
    assert {row["threads"] for row in rows} == {1, 2}
    assert all(row["right"] and row["ours"] > 0 and row["ratio"] == row["theirs"] / row["ours"] for row in rows)
    printed = capsys.readouterr().out
    assert "Times as fast as SciPy" in printed and "The ten worst" in printed and "below 0.95" in printed


def test_no_cell_fits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["images", "--full", "--filter", "nothing"]) == 2
    assert "--filter" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("got", "want", "peer", "agree"),
    [
        (np.ones(3), np.ones(3), "SciPy", True),
        (np.ones(3), np.ones(4), "SciPy", False),
        (np.ones(3), np.ones(3, np.float32), "SciPy", False),
        (np.ones(3), np.ones(3) + 1e-4, "SciPy", False),
        (np.ones(3, np.uint8), np.zeros(3, np.uint8), "SciPy", False),
        (np.ones(3, np.uint8), np.zeros(3, np.uint8), "OpenCV", True),
    ],
)
def test_agreement(got: Any, want: Any, peer: str, agree: bool) -> None:
    assert image_table._agree(got, want, peer) is agree


def test_tables_name_the_worst_and_wrong_answers_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [image_table.Row(f"cell {k}", "f", "SciPy", 1 + k % 2, 1.0, 0.5 + k / 10, True) for k in range(12)]
    summary, worst = image_table.tables(rows)
    assert worst.row_count == 10 and next(iter(worst.columns[0].cells)) == "cell 0"
    assert list(summary.columns[3].cells)[-1] == "0.50" and list(summary.columns[4].cells)[-1] == "5"
    wrong = image_cells.Task("f", (2,), "", "float32", lambda: (lambda: np.ones(2), lambda: np.zeros(2)))
    monkeypatch.setattr(image_table, "tasks", lambda: [wrong])

    class Arguments:
        filter, threads, json = (), 1, None

    assert image_table.command(Arguments(), Console(quiet=True)) == 1  # type: ignore[arg-type]
