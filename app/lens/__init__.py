"""The page Lens: what would the model say if it stopped here?"""
