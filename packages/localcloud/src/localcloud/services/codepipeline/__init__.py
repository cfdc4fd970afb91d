"""AWS CodePipeline: a deployed pipeline's stages and actions."""
