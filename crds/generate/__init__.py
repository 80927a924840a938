"""CustomResourceDefinitions from the models: `stentor crds`."""

from crds.generate.manifest import FILES, definition, render

__all__ = ["FILES", "definition", "render"]
