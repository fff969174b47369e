"""Tactics side by side: each trained with the same data, budget and seeds, then priced, use of the network included."""
