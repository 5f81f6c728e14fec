"""The server as a process: its socket, its signals, what it says when it starts."""
