"""
Which algorithm, and when it changes
====================================

``explain`` predicts the time of every backend without computing anything: here over kernel sizes, for the machine
that built this page.
"""

import matplotlib.pyplot as plt

import fastconv

sizes = (1, 3, 5, 7, 9, 11, 15, 21, 31)
predicted, chosen = {}, []
for k in sizes:
    for row in fastconv.explain((1, 64, 56, 56), (64, 64, k, k), padding=k // 2).rows:
        name, _, engine = row["backend"].partition("/")
        if row["status"] != "refused" and engine == "cython" and name != "separable":
            predicted.setdefault(name, {})[k] = row["predicted_seconds"] * 1e3
        if row["status"] == "chosen":
            chosen.append((k, row["predicted_seconds"] * 1e3))

figure, axis = plt.subplots(figsize=(8, 4.6), layout="constrained")
for (name, times), marker in zip(predicted.items(), "osD^vPX*<>"):
    axis.plot(list(times), list(times.values()), marker=marker, markersize=5, label=name)
axis.scatter(*zip(*chosen), s=160, facecolors="none", edgecolors="black", label="auto", zorder=3)
axis.set(xscale="log", yscale="log", xlabel="kernel height and width", ylabel="predicted ms")
axis.set_xticks(sizes, sizes)
axis.minorticks_off()
axis.legend(ncols=2, fontsize=9)

# %%
# ``fastconv.tune`` measures instead, and remembers the winner.
