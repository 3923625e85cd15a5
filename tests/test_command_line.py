"""``python -m fastconv bench`` is ``python -m bench``, wherever the benchmarks are."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import fastconv
from fastconv import __main__ as command_line
from tests import battery, child


def test_the_benchmarks_are_beside_a_clone_and_within_an_installed_package(tmp_path: Path) -> None:
    assert command_line.benchmarks(tmp_path / "fastconv") == tmp_path
    (tmp_path / "fastconv" / "_bench").mkdir(parents=True)
    assert command_line.benchmarks(tmp_path / "fastconv") == tmp_path / "fastconv" / "_bench"
    assert (command_line.benchmarks(Path(fastconv.__file__).parent) / "bench" / "__main__.py").is_file()


def test_bench_has_its_own_words_and_exit_codes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    if find_spec("rich") is None:
        pytest.skip("rich is not installed")
    for words, code in ((["--help"], 0), (["chart", str(tmp_path / "none.json")], 2)):
        with pytest.raises(SystemExit) as ended:
            command_line.main(["bench", *words])
        assert ended.value.code == code
    said = capsys.readouterr().out
    assert "python -m fastconv bench" in said
    for command in ("run", "compare", "networks", "whole", "images", "ladder", "chart", "report", "diff", "publish"):
        assert command in said


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'rich'")

    monkeypatch.setattr(command_line, "import_module", missing)
    with pytest.raises(SystemExit, match=r"rich.*fastconv\[bench\]"):
        command_line.main(["bench", "run"])


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_no_instruction_set_is_tested_twice() -> None:
    """`make test` uses the first, `make test-isa` the others."""
    command = ["make", "--dry-run", "test-isa", f"VENV={sys.prefix}"]
    told = subprocess.run(command, cwd=child.ROOT, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"FASTCONV_ISA=(\w+) .*test_battery", told) == battery.instruction_sets()[1:]
