"""What `tithe train` is made of: data, models, loop, checkpoint; your own loop needs none of it."""
