"""
What is wrong between objects, though each by itself is right. Pure: a set of objects in, findings
out; webhook, controller, speaker and command line ask the same functions.
"""

from crds.rules.backend import Backend
from crds.rules.check import Options, check
from crds.rules.findings import Finding, Severity, Subject
from crds.rules.objects import Objects, gather

__all__ = ["Backend", "Finding", "Objects", "Options", "Severity", "Subject", "check", "gather"]
