"""The page Runs: what has been run, what is running?"""
