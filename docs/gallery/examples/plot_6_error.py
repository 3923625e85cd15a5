"""
Error against operations
========================

Winograd's algorithm and transforms do fewer operations and round otherwise. Every backend states a bound; here it
stands beside what is measured.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastconv

rng = np.random.default_rng(0)
x = rng.standard_normal((1, 64, 28, 28), dtype=np.float32)
w = rng.standard_normal((64, 64, 3, 3), dtype=np.float32)
exact = fastconv.conv2d(x.astype(np.float64), w.astype(np.float64), padding=1)
scale = np.abs(x).max() * np.abs(w).sum(axis=(1, 2, 3)).max()

# %%
# ``explain`` has operations and bounds; each backend is then called by name.

found = fastconv.explain(x.shape, w.shape, padding=1)
points = {}
for row in found.rows:
    name = row["backend"].split("/")[0]
    if row["status"] != "refused" and name not in points and name not in ("reference", "separable"):
        y = fastconv.conv2d(x, w, padding=1, backend=name)
        points[name] = row["flops"], np.abs(y - exact).max() / scale, row["error_bound"]

figure, axis = plt.subplots(figsize=(7.5, 4.5), layout="constrained")
for name, (flops, measured, bound) in points.items():
    axis.plot([flops, flops], [measured, bound], color="#BBBBBB", zorder=0)
    axis.scatter(flops, measured, color="#0072B2")
    axis.scatter(flops, bound, marker="_", s=200, color="#D55E00")
    axis.annotate(name, (flops, measured), xytext=(8, -4), textcoords="offset points")
axis.margins(x=0.2)
axis.set(xscale="log", yscale="log", xlabel="operations", ylabel="error, relative to max|x| sum|w|")
axis.set_title("measured (dots) and stated (bars)")
