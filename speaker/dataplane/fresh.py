"""Maps of our layout where none are pinned: empty, or with what another version's maps say."""

import shutil
from pathlib import Path
from typing import Final

import attrs

from speaker.dataplane.bpffs import Pins
from speaker.dataplane.errors import ApplyError
from speaker.dataplane.foreign import ForeignMaps
from speaker.dataplane.layout import SLOT4, SLOT6
from speaker.dataplane.libbpf import Libbpf
from speaker.dataplane.migrate import Contents, read, sources, write
from speaker.dataplane.program import MAPS, Program, Sizes, load

FIRST_STATS: Final = 1024


@attrs.define
class Fresh:
    """
    Makes and pins the first maps of our version. `slots`: of a table, unless more are needed.

    `warnings` says why maps of another version, though there, were not taken over.
    """

    libbpf: Libbpf
    pins: Pins
    object_path: Path
    slots: int
    migrated_from: str = ""
    warnings: list[str] = attrs.field(factory=list)

    def make(self) -> Program:
        """Load the program, filled, and pin its maps; raises ApplyError."""
        for directory in sources(self.pins):
            try:
                with ForeignMaps.open(self.libbpf, directory) as maps:
                    contents = read(maps, self.slots)
                    program = load(self.libbpf, self.object_path, _sizes(contents), {})
                    write(self.libbpf, contents, maps, program)
            except ApplyError as exc:
                name = directory.parent.name
                self.warnings.append(f"maps of layout {name} are not taken over: {exc}")
            else:
                self.migrated_from = contents.version
                break
        else:
            empty = Sizes(self.slots, self.slots, FIRST_STATS)
            program = load(self.libbpf, self.object_path, empty, {})
        self._pin(program)
        return program

    def _pin(self, program: Program) -> None:
        """All maps at once, by a rename; what an earlier process began is thrown away."""
        folder = self.pins.next_maps
        for unfinished in (folder, self.pins.maps):
            if unfinished.exists():
                shutil.rmtree(unfinished)
        folder.mkdir()
        for name in MAPS:
            self.libbpf.pin(program.maps[name], folder / name)
        folder.rename(self.pins.maps)


def _sizes(contents: Contents) -> Sizes:
    return Sizes(
        len(contents.tables["vips4"]) // SLOT4.size_bytes // 2,
        len(contents.tables["vips6"]) // SLOT6.size_bytes // 2,
        contents.stats_entries or FIRST_STATS,
    )
