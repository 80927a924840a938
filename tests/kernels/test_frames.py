"""The golden frames and near misses of tests/bpf, run by the guest's kernel."""

import pytest

from tests.kernels.vm import Vm

FILES = ("test_answers.py", "test_near_misses.py", "test_voices.py", "test_lease.py")


@pytest.mark.quick
def test_the_programs_load_and_answer_the_golden_frames(vm: Vm) -> None:
    """Both programs pass this kernel's verifier, and every frame leaves as on the build host."""
    said = vm.run(
        *("sh", "-c", 'cd /opt/stentor && exec python3 -m pytest "$@"', "sh"),
        *("-q", "--tb=short", "-c", "/dev/null", "--rootdir=.", "-p", "no:cacheprovider"),
        *("-W", "ignore", *(f"tests/bpf/{name}" for name in FILES)),
        check=False,
        within_s=900,
    )

    last = said.strip().splitlines()[-1]
    assert " passed" in last, said
    assert not {"failed", "error", "errors", "skipped"} & set(last.replace(",", "").split()), said


@pytest.mark.quick
def test_the_guest_runs_the_kernel_that_it_is_for(vm: Vm, request: pytest.FixtureRequest) -> None:
    """Else the table would claim what was never run."""
    kernel = request.node.callspec.params["vm"]

    release = vm.run("uname", "-r")

    assert release.startswith(f"{kernel.name}.")
