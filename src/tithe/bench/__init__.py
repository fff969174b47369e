"""`tithe bench`: how fast sparse training is beside dense training and beside other sparse libraries."""
