"""Pooling, on planes and on channels-last arrays."""
