"""Application Auto Scaling for endpoints."""
