"""Voices as profiles: bundle, references, options."""

from sovits_server.voices.profile_file import read_profile, write_profile
from sovits_server.voices.recording import Chosen, choose_part, require_transcript, transcript_needed
from sovits_server.voices.store import Added, VoiceStore
from sovits_server.voices.voice import Voice, VoiceReference, with_options

__all__ = [
    "Added",
    "Chosen",
    "Voice",
    "VoiceReference",
    "VoiceStore",
    "choose_part",
    "read_profile",
    "require_transcript",
    "transcript_needed",
    "with_options",
    "write_profile",
]
