"""AWS CodeBuild: a buildspec's commands as processes of this machine."""
