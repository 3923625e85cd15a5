"""Vector registers of this machine."""

import platform

ARM = platform.machine().lower() in ("aarch64", "arm64")


def registers(vector_bytes: int) -> int:
    """Vector registers of the instruction set that has vectors so wide here: how large a block of sums may be."""
    return 32 if ARM or vector_bytes == 64 else 16
