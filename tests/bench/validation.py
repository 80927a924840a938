"""
Checking a whole configuration, and what importing the models costs at a start.

1,000 pools of two entries, 1,000 advertisements of both kinds and 200 peers, as the API gives them:
decoded, gathered and checked by every rule. The import is that of a fresh interpreter that finds
its bytecode, beside that of the libraries alone. All of it is CPU time, not a neighbour's.
"""

import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any, Final

import attrs

from crds.rules import check, gather
from tests.bench.rows import Row

POOLS: Final = 1_000
ADVERTISEMENTS: Final = 1_000
PEERS: Final = 200
AIM_MS: Final = 150.0
_ROUNDS: Final = 9
_FLOOR: Final = """attrs
from pydantic import BaseModel
class One(BaseModel): field: int
"""
_MODULES: Final = "crds.decode, crds.rules"
_IMPORT: Final = """
import time
start = time.process_time()
import {modules}
print((time.process_time() - start) * 1e3)
"""

Raw = dict[str, Any]


def _raw(kind: str, version: str, name: str, spec: Raw, labels: Raw | None = None) -> Raw:
    metadata = {"name": name, "namespace": "metallb-system", "labels": labels or {}}
    return {"apiVersion": f"metallb.io/{version}", "kind": kind, "metadata": metadata, "spec": spec}


def configuration(number: int) -> list[Raw]:
    """The objects, valid and without a warning; those of another number have other addresses."""
    pools = [
        _raw(
            "IPAddressPool", "v1beta1", f"pool-{n}",
            {"addresses": [f"10.{n // 250 + 4 * number}.{n % 250}.0/25",
                           f"2001:db8:{number:x}:{n:x}::/112"]},
            {"zone": f"z{n % 10}"},
        )
        for n in range(POOLS)
    ]  # fmt: skip
    on_linux = [{"matchLabels": {"kubernetes.io/os": "linux"}}]
    ads = [
        _raw("L2Advertisement", "v1beta1", f"ad-{n}",
             {"ipAddressPools": [f"pool-{n}"], "interfaces": ["eth0"], "nodeSelectors": on_linux})
        if n % 2 else
        _raw("BGPAdvertisement", "v1beta1", f"ad-{n}",
             {"ipAddressPools": [f"pool-{n}"], "communities": ["64512:100"], "localPref": 100,
              "aggregationLength": 32, "peers": [f"peer-{n % PEERS}"], "nodeSelectors": on_linux})
        for n in range(ADVERTISEMENTS)
    ]  # fmt: skip
    peers = [
        _raw("BGPPeer", "v1beta2", f"peer-{n}",
             {"myASN": 64512, "peerASN": 64600 + n, "peerAddress": f"192.0.2.{n + 1}",
              "holdTime": "90s", "keepaliveTime": "30s", "nodeSelectors": on_linux})
        for n in range(PEERS)
    ]  # fmt: skip
    return [*pools, *ads, *peers]


def _validate_ms(objects: list[Raw]) -> float:
    start = time.process_time()
    gathered, findings = gather(objects)
    findings += check(gathered)
    took_ms = (time.process_time() - start) * 1e3
    assert [each for each in findings if each.is_error] == [], findings[0]
    return took_ms


def _import_ms(modules: str, compiled: str) -> float:
    """CPU time of an import in a fresh interpreter that finds its bytecode in `compiled`."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT.format(modules=modules)],
        capture_output=True, text=True, check=True,
        env={**environment, "PYTHONPYCACHEPREFIX": compiled},
    )  # fmt: skip
    return float(done.stdout)


def _row(name: str, measure: Callable[[], float]) -> Row:
    measure()  # caches of the file system, and models built on first use
    figures = [measure() for _ in range(_ROUNDS)]
    median = statistics.median(figures)
    return Row(
        name, "ms", "", min(figures), median, max(figures), f"<= {AIM_MS:.0f}", median <= AIM_MS
    )


def _imports() -> list[Row]:
    with TemporaryDirectory(prefix="st-bench-") as compiled:
        floor = _row("import pydantic and attrs, one model", lambda: _import_ms(_FLOOR, compiled))
        ours = _row(f"import {_MODULES}", lambda: _import_ms(_MODULES, compiled))
    return [attrs.evolve(floor, aim="", met=None), ours]


def run() -> list[Row]:
    """Validation, then imports."""
    numbers = itertools.count()  # no round finds what another one has left in a cache
    name = f"{POOLS:,} pools, {ADVERTISEMENTS:,} advertisements, {PEERS} peers"
    return [
        _row(f"validate {name}", lambda: _validate_ms(configuration(next(numbers)))),
        *_imports(),
    ]
