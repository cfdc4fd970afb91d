"""Jobs of every kind as a person sees them: what runs, since when, with which parameters, and its log."""
