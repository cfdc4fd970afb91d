"""A comparison of the endpoint's server with other servers of the field; needs nginx and wrk."""
