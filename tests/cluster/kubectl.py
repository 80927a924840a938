"""kubectl against the control plane of a test."""

import subprocess
from collections.abc import Iterable
from typing import Any

import attrs
import yaml

from stentor.lab.control_plane import ControlPlane, programs
from tests.eventually import DEADLINES, eventually

WITHIN_S = 60.0


@attrs.frozen
class Answer:
    """What kubectl said, and how it ended."""

    code: int
    output: str
    errors: str


@attrs.frozen
class Kubectl:
    """Runs kubectl as an administrator."""

    plane: ControlPlane

    def __call__(self, *arguments: str, stdin: str = "") -> Answer:
        """Run it, whatever comes of it."""
        done = subprocess.run(
            [str(programs()["kubectl"]), "--kubeconfig", str(self.plane.kubeconfig), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def good(self, *arguments: str, stdin: str = "") -> str:
        """Run it and return its output; fails the test when it ends badly or warns."""
        answer = self(*arguments, stdin=stdin)
        assert (answer.code, answer.errors) == (0, ""), f"{arguments}: {answer.errors}"
        return answer.output

    def apply(self, *objects: dict[str, Any]) -> Answer:
        """Server-side apply of objects."""
        text = yaml.safe_dump_all(objects)
        return self("apply", "--server-side", "--validate=strict", "-f", "-", stdin=text)

    def get(self, *arguments: str) -> dict[str, Any]:
        """An object, or a list of them."""
        answer = self("get", *arguments, "-o", "yaml")
        assert answer.code == 0, answer.errors  # a warning that a version is deprecated is fine
        found: dict[str, Any] = yaml.safe_load(answer.output)
        return found

    def wait_established(self, definitions: Iterable[dict[str, Any]]) -> None:
        """Wait until these CustomResourceDefinitions are served; fails the test if they never are.

        Not at once: kubectl ends with an error where there are no conditions yet, and on a busy
        machine it complains of watches that it has itself ended.
        """
        names = [f"crd/{each['metadata']['name']}" for each in definitions]
        eventually(
            lambda: self("wait", "--for=condition=Established", "--timeout=30s", *names),
            until=lambda answer: answer.code == 0,
            within_s=DEADLINES.process_up,
            what="definitions established",
        )
