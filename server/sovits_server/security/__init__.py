"""Who may ask, and what a request may reach."""
