"""The page Ablations: how important is each component, and how much of that is the ablation's artefact?"""
