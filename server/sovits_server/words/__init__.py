"""Text as parts with pauses; where each was spoken."""

from sovits_server.words.markup import prepare, whole_marks
from sovits_server.words.parts import Part
from sovits_server.words.timeline import Spoken, Timeline

__all__ = ["Part", "Spoken", "Timeline", "prepare", "whole_marks"]
