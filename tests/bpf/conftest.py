"""One loaded responder for the whole run; every test gets it empty."""

from collections.abc import Iterator

import pytest

from tests.bpf.harness import Program, Responder


@pytest.fixture(scope="session")
def loaded_responder() -> Iterator[Responder]:
    """The object, loaded once: the verifier takes longer than a test."""
    with Responder.loaded(slots=1024, vips=16) as responder:
        yield responder


@pytest.fixture
def responder(loaded_responder: Responder) -> Responder:
    """The responder with empty tables, zeroed counters and an owning cell without end."""
    loaded_responder.reset()
    return loaded_responder


@pytest.fixture(params=list(Program))
def program(request: pytest.FixtureRequest) -> Program:
    """Each of the two programs in turn."""
    return Program(request.param)
