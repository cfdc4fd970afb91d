"""AWS CloudFormation: transforms, conditions and update policies that ministack lacks."""
