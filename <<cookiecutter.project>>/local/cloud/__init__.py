"""A cloud on this machine: ministack, and what it lacks, a module a service."""
