"""The engine of Circuit Explorer: models, tasks, ablations, circuit discovery and evaluation.

It knows torch and imports neither streamlit nor plotly.
"""
