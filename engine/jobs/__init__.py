"""Jobs: requests that are carried out in the background."""
