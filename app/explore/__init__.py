"""The page Explore: which edges carry this behaviour?"""
