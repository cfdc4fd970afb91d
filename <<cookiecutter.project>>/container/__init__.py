"""One image for every job: prepare, train, evaluate, serve, monitor; it knows /opt/ml and nothing of AWS."""
