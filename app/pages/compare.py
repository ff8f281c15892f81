"""Compare: how do two methods, ablations, tasks or seeds differ?"""

import streamlit as st

st.title("Compare", anchor=False)
