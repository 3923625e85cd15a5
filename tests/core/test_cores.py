"""The cores that a process may use: a container's quota, read from trees of control groups as Linux shows them."""

from pathlib import Path

import pytest

from fastconv.core import cores

V2, V1 = "0::/jobs/mine\n", "12:memory:/mine\n4:cpu,cpuacct:/mine\n1:name=systemd:/mine\n0::/\n"


def quota(root: Path, groups: str, files: dict[str, str]) -> int:
    for name, text in {"proc/self/cgroup": groups, **{f"sys/fs/cgroup/{k}": v for k, v in files.items()}}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return cores.cpu_quota(str(root))


def v1(us: int, period: int = 100_000, group: str = "cpu,cpuacct/mine") -> dict[str, str]:
    return {f"{group}/cpu.cfs_quota_us": f"{us}\n", f"{group}/cpu.cfs_period_us": f"{period}\n"}


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        (V2, {"jobs/mine/cpu.max": "150000 100000\n"}, 2),
        (V2, {"jobs/mine/cpu.max": "10000 100000\n"}, 1),
        (V2, {"jobs/mine/cpu.max": "max 100000\n"}, 0),
        (V2, {"jobs/mine/cpu.max": "max 100000\n", "jobs/cpu.max": "300000 100000\n"}, 3),  # of a group above
        (V2, {"jobs/mine/cpu.max": "400000 100000\n", "jobs/cpu.max": "300000 100000\n"}, 3),
        (V2, {"cpu.max": "200000 50000\n"}, 4),  # the group's name is that outside of the container
        (V2, {"jobs/other/cpu.max": "100000 100000\n"}, 0),
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/../../mine\n", {"cpu.max": "200000 100000\n"}, 2),
        (V1, v1(250_000), 3),
        (V1, v1(-1), 0),
        (V1, v1(50_000, 25_000, "cpu,cpuacct"), 2),
        (V1, v1(700_000, group="cpu/mine"), 7),  # a link to cpu,cpuacct in most systems
        (V1, v1(100_000, group="memory/mine"), 0),
        (V2, {"jobs/mine/cpu.max": "nonsense\n"}, 0),
        (V2, {"jobs/mine/cpu.max": "100000 0\n"}, 0),
        (V2, {"jobs/mine/cpu.max": ""}, 0),
        ("", {}, 0),
    ],
)
def test_quota(tmp_path: Path, groups: str, files: dict[str, str], expected: int) -> None:
    assert quota(tmp_path, groups, files) == expected


def test_no_control_groups(tmp_path: Path) -> None:
    assert cores.cpu_quota(str(tmp_path)) == 0


@pytest.mark.parametrize(("quota", "expected"), [(0, 6), (1, 1), (4, 4), (9, 6)])
def test_the_smaller_counts(monkeypatch: pytest.MonkeyPatch, quota: int, expected: int) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr(cores, "cpu_quota", lambda: quota)
    assert cores.cpu_count() == expected
