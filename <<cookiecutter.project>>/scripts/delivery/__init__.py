"""Deploy what a platform team deploys once, and remove it all again."""
