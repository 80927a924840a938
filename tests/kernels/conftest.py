"""
VMs as fixtures. One runs for all tests of a kernel; each test finds its network as new.

STENTOR_KERNELS=all, which `make kernels` sets, runs every test on every kernel. Otherwise one
kernel runs the tests marked `quick`, and the summary says what was left out.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import LEFT_OUT
from tests.kernels import product as product_of_tree
from tests.kernels.errors import ImageError
from tests.kernels.images import Images, images
from tests.kernels.node import LOAD, NICS, Node
from tests.kernels.recipe import KERNELS, Kernel
from tests.kernels.table import Table
from tests.kernels.vm import Vm

IS_ALL = os.environ.get("STENTOR_KERNELS") == "all"
CONSOLES = Path(os.environ.get("STENTOR_CONSOLES", "/tmp/st-consoles"))  # noqa: S108
_table = Table()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long, unless all was asked for."""
    here, left_out = str(Path(__file__).parent), 0
    for item in [item for item in items if str(item.path).startswith(here)]:
        item.add_marker("root")
        item.add_marker(pytest.mark.timeout(3600))  # a cold build of the images, a busy host
        if IS_ALL or not {"vm", "ring", "links"} & set(getattr(item, "fixturenames", ())):
            continue
        case = getattr(item, "callspec", None)
        is_first = case is None or case.params.get("vm", KERNELS[0]) == KERNELS[0]
        if not (is_first and item.get_closest_marker("quick")):
            items.remove(item)
            left_out += 1
    if left_out:
        config.stash[LEFT_OUT].append(
            f"left out: {left_out} tests in VMs (`make kernels` runs them: kernels "
            f"{', '.join(kernel.name for kernel in KERNELS)}, bonds, IPVS, frozen hosts, ...)"
        )


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Enter each test's outcome, and the rung that it noted, in the table."""
    if report.when == "call" or report.failed:
        rung = str(dict(report.user_properties).get("rung", ""))
        _table.note(report.nodeid, has_passed=report.passed, rung=rung)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Print the table, and write it into its page when all of it is there."""
    if IS_ALL and _table.rows:
        terminalreporter.write_line(_table.markdown())
        if exitstatus == 0 and not config.option.keyword and config.args == ["tests/kernels"]:
            _table.write()


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive that guests unpack to /product."""
    return product_of_tree.archive(tmp_path_factory.mktemp("product"))


@pytest.fixture(scope="package", params=KERNELS, ids=lambda kernel: kernel.name)
def vm(request: pytest.FixtureRequest, product: Path) -> Iterator[Vm]:
    """
    A running VM of each kernel in turn, with the cards of `node.NICS`.

    It ends with the last test here: one that idles takes half a core from the labs behind it.
    """
    kernel: Kernel = request.param
    CONSOLES.mkdir(exist_ok=True)
    kept = CONSOLES / f"{kernel.name}.log"
    with Vm(find_images(kernel), product, NICS, kept_console=kept) as running:
        running.call(LOAD)
        yield running


def find_images(kernel: Kernel) -> Images:
    """Images of a kernel; what this machine lacks skips on a laptop and fails in CI."""
    try:
        return images(kernel)
    except ImageError as exc:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(exc))


@pytest.fixture
def node(vm: Vm) -> Node:
    """The VM as a node with a fresh network."""
    made = Node(vm)
    made.reset()
    return made
