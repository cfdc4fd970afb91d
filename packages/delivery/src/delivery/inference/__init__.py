"""Predictions by an endpoint or a model: rows, the ways in which requests travel, scores and comparison."""
