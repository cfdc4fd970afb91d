"""Amazon CloudWatch: alarms by dimensions, over time, with missing data."""
