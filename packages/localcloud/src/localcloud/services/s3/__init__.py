"""Amazon S3: tags of buckets that stacks create."""
