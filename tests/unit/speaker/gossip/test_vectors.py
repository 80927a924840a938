"""The codec against bytes captured from Go members and serf, by the runner itself."""

import json
from pathlib import Path

import pytest

from tests import gossip_vectors

VECTORS = Path(gossip_vectors.__file__).parent / "conformance/data/memberlist_vectors.json"
PING = {
    "id": "ping",
    "kind": "packet",
    "hex": "0082a44e6f6465a4676f2d61a55365714e6fcd0402",
    "len": 21,
    "layers": [],
    "messages": [{"type": "ping", "Node": "go-a", "SeqNo": 1026}],
}


def test_every_captured_vector_passes(capsys: pytest.CaptureFixture[str]) -> None:
    status = gossip_vectors.main([str(VECTORS)])

    lines = capsys.readouterr().out.splitlines()
    total = len(json.loads(VECTORS.read_text())["vectors"])
    assert lines == [f"{total} passed, 0 failed"]
    assert status == 0


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param({"messages": []}, "messages: expected", id="another_message"),
        pytest.param({"layers": ["crc32(0)"]}, "layers: expected", id="another_layer"),
        pytest.param({"len": 20}, "len says 20", id="another_length"),
        pytest.param({"expect_error": True}, "must be refused", id="not_refused"),
        pytest.param({"kind": "beat"}, "'beat' is unknown", id="unknown_kind"),
        pytest.param({"hex": "00", "len": 1}, "TruncatedError", id="refused"),
        pytest.param({"hex": "zz"}, "ValueError", id="no_hex"),
    ],
)
def test_a_vector_that_does_not_fit_fails_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object], complaint: str
) -> None:
    file = tmp_path / "vectors.json"
    file.write_text(json.dumps({"vectors": [PING, PING | change]}))

    status = gossip_vectors.main([str(file)])

    failure, outcome = capsys.readouterr().out.splitlines()
    assert complaint in failure
    assert outcome == "1 passed, 1 failed"
    assert status == 1


@pytest.mark.parametrize("content", [None, "{", "{}", "[]"])
def test_an_unreadable_file_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    file = tmp_path / "vectors.json"
    if content is not None:
        file.write_text(content)

    status = gossip_vectors.main([str(file)])

    assert str(file) in capsys.readouterr().err
    assert status == 2
