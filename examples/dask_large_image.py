"""Images that need not fit in memory: zarr in, filters on a cluster of processes, zarr out.

    python examples/dask_large_image.py [SIDE CHUNK [peer]]

Side 20000 and chunk 4000 are an image of 1.6 GB; ``peer`` times dask-image's Gaussian, too. It needs fastconv[dask],
distributed and zarr. Blocks are read with their halos, straight from the store, whose own chunks are therefore smaller.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # idle threads leave the cores to the workers

import dask.array as da
import numpy as np
import zarr
from distributed import Client, LocalCluster

import fastconv
import fastconv.dask

KERNEL = np.random.default_rng(1).standard_normal((31, 31)) / 31
LAZY: dict[str, Callable[[Any], Any]] = {
    "Gaussian of sigma 10": lambda x: fastconv.dask.gaussian_filter(x, 10.0),
    "kernel of 31x31": lambda x: fastconv.dask.filter2d(x, KERNEL),
}
IN_MEMORY: dict[str, Callable[[Any], Any]] = {
    "Gaussian of sigma 10": lambda x: fastconv.ndimage.gaussian_filter(x, 10.0),
    "kernel of 31x31": lambda x: fastconv.filter2d(x, KERNEL),
}


def store(path: Path, side: int, chunk: int, mode: str = "w") -> Any:
    """An array on disk, not compressed: noise does not shrink."""
    tiles = (max(chunk // 5, 1),) * 2
    if mode == "r":
        return zarr.open_array(str(path), mode="r")
    return zarr.create_array(str(path), shape=(side, side), chunks=tiles, dtype="float32", compressors=None)


def noise(path: Path, side: int, chunk: int) -> None:
    """An image, written a band at a time."""
    x, rng = store(path, side, chunk), np.random.default_rng(0)
    for i in range(0, side, chunk):
        x[i : i + chunk] = rng.random((min(chunk, side - i), side), dtype=np.float32)


def peak(begin: bool) -> int:
    """Bytes that this process has held at most (Linux tells, 0 elsewhere); on demand from now on."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not status.exists():
        return 0
    if begin:
        reset.write_text("5")
    return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))


def on_cluster(client: Client, x: Any, y: Any, lazy: Callable[[Any], Any]) -> tuple[float, float]:
    """Seconds until the result is on disk, and by how many chunks the largest worker grew."""
    before = client.run(peak, True)
    start = time.perf_counter()
    da.store(lazy(x), y, lock=False)
    seconds = time.perf_counter() - start
    after = client.run(peak, False)
    return seconds, max(after[w] - before[w] for w in before) / (x.itemsize * np.prod(x.chunksize))


def in_memory(source: Any, y: Any, call: Callable[[Any], Any]) -> tuple[float, float]:
    """Seconds of the filter alone, and with reading and writing."""
    start = time.perf_counter()
    x = source[:]
    read = time.perf_counter()
    result = call(x)
    done = time.perf_counter()
    y[:] = result
    return done - read, time.perf_counter() - start


def main(side: int = 600, chunk: int = 200, peer: bool = False) -> float:
    """Largest difference between what the cluster and the same calls in memory have written."""
    worst, workers = 0.0, fastconv.get_num_threads()
    with tempfile.TemporaryDirectory() as temporary:
        noise(Path(temporary, "x"), side, chunk)
        source, y, z = (
            store(Path(temporary, name), side, chunk, mode) for name, mode in zip("xyz", "rww", strict=True)
        )
        x = da.from_array(source, chunks=chunk)
        with LocalCluster(workers, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
            for name, lazy in LAZY.items():
                lazy(x[: 2 * chunk, : 2 * chunk]).compute()  # loads what is loaded once
                seconds, chunks = on_cluster(client, x, y, lazy)
                alone, whole = in_memory(source, z, IN_MEMORY[name])
                print(
                    f"{name}: {workers} workers {seconds:.2f} s, at most {chunks:.1f} chunks each; in memory", end=" "
                )
                print(f"{workers} threads {alone:.2f} s, with reading and writing {whole:.2f} s")
                for i in range(0, side, chunk):
                    worst = max(worst, float(np.abs(y[i : i + chunk] - z[i : i + chunk]).max()))
            if peer:
                from dask_image import ndfilters

                seconds, chunks = on_cluster(client, x, y, lambda x: ndfilters.gaussian_filter(x, 10.0))
                print(f"dask-image's Gaussian: {seconds:.2f} s, at most {chunks:.1f} chunks each")
    return worst


if __name__ == "__main__":
    side, chunk = map(int, sys.argv[1:3] or (600, 200))
    print(f"largest difference {main(side, chunk, 'peer' in sys.argv):.1e}")
