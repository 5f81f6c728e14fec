"""A bundle as one file, or as a folder for a hub, for somebody who only speaks."""
