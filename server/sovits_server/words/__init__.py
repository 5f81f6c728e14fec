"""Text as parts with pauses; where each was spoken."""
