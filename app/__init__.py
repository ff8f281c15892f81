"""The dashboard: Streamlit pages over the runs of the engine. The pages compute no results themselves."""
