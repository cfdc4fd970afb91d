"""The endpoint's server beside those that this field ships, in one run; needs nginx and wrk."""
