"""Repeated discoveries, on the page Explore: how stable is a circuit?"""
