"""From older ways to say it to today's objects: `stentor convert`. Pure."""

from stentor.convert.result import Conversion, ConvertError
from stentor.convert.sources import SOURCES

__all__ = ["SOURCES", "Conversion", "ConvertError"]
