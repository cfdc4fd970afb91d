"""Services of AWS, each in a package with the service's name in botocore."""
