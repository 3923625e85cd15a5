"""The examples in the docstrings of public functions run, and print what they say."""

import doctest

import pytest

import fastconv

NAMES = [n for n in fastconv.__all__ if ">>>" in (getattr(fastconv, n).__doc__ or "")]


@pytest.mark.parametrize("name", NAMES)
def test_examples(name: str) -> None:
    found = doctest.DocTestFinder(recurse=False).find(getattr(fastconv, name), name, globs={})
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    assert sum(runner.run(test).attempted for test in found) > 0
    assert runner.failures == 0
