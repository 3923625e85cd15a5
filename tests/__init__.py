"""Tests of fastconv: an oracle of their own, a table of problems, and one battery that every backend has to pass."""
