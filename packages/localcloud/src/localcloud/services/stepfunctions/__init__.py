"""AWS Step Functions: clock and output functions that ministack lacks."""
