"""Amazon EventBridge and EventBridge Scheduler: schedules at the cloud's speed."""
