"""The page Compare: how do circuits differ?"""
