"""What clients speak, a module a dialect; each turns its fields into one `core.request.Ask`."""
