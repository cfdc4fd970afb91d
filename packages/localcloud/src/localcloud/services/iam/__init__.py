"""IAM: ministack's, whose simulation of a role's policies finds the role."""
