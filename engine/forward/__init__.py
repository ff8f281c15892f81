"""The forward pass with edges kept, ablated or anything between, and what is computed by way of it."""
