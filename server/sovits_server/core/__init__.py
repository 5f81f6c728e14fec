"""One request, whatever dialect it came in: the engine that speaks, the queue before it, the sound after it."""
