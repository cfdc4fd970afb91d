"""AWS CodeDeploy for Lambda: an alias moves to a new version in steps, or back."""
