"""Hatch build hook: compile the BPF objects before the wheel is packed."""

import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BpfBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs `scripts/build_bpf`; a missing clang or a C error fails the wheel, loudly."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        subprocess.run([str(Path(self.root) / "scripts" / "build_bpf")], check=True)
