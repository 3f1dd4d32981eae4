"""The package as it is shipped: what the wheel holds, what it asks for, and that nothing of the tests is needed to use it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from servers import ROOT

import modq

HERE = Path(__file__).parent.parent


def test_versions() -> None:
    """The package speaks to the module of this repository, and its changelog knows its version."""
    module = re.search(r'^version = "(\d+)\.(\d+)', (ROOT / "Cargo.toml").read_text(), re.M)
    assert module is not None
    low, high = (tuple(map(int, bound.split("."))) for bound in re.findall(r"\d+\.\d+", modq.MODULE_VERSIONS))
    assert low <= (int(module[1]), int(module[2])) < high
    assert f"## {modq.__version__}\n" in (HERE / "CHANGELOG.md").read_text()


def test_all_names_are_there() -> None:
    import modq.asyncio

    for module in (modq, modq.asyncio):
        assert all(hasattr(module, name) for name in module.__all__)
    both = {
        "Board",
        "Claim",
        "EventLog",
        "Leases",
        "Limiter",
        "Policies",
        "Presence",
        "Queue",
        "ShardedQueue",
        "Worker",
    }
    assert both <= set(modq.__all__) & set(modq.asyncio.__all__)


def test_both_sides_have_the_same_methods() -> None:
    import modq.asyncio

    for name in set(modq.__all__) & set(modq.asyncio.__all__):
        ours, theirs = getattr(modq, name), getattr(modq.asyncio, name)
        if isinstance(ours, type):
            assert {m for m in dir(ours) if m[0] != "_"} == {m for m in dir(theirs) if m[0] != "_"}, name


def test_the_wheel(tmp_path: Path) -> None:
    if importlib.util.find_spec("hatchling") is None:  # it is built once, beside the newest redis-py
        return
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)], cwd=HERE, check=True
    )
    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "modq/py.typed" in names and "modq/asyncio/worker.py" in names and "modq/middleware/asgi.py" in names
    assert not [name for name in names if "test" in name]
    metadata = zipfile.ZipFile(wheel).read(next(name for name in names if name.endswith("METADATA"))).decode()
    assert re.findall(r"^Requires-Dist: (.*)$", metadata, re.M) == ["redis>=5.0.1"]
    assert "Requires-Python: >=3.10" in metadata
    user = tmp_path / "user.py"
    user.write_text("import modq, modq.asyncio, modq.middleware.wsgi, modq.middleware.asgi\nprint(modq.__file__)\n")
    said = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(wheel)!r}); exec(open({str(user)!r}).read())"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert said.startswith(str(wheel))
    assert importlib.metadata.version("redis")
