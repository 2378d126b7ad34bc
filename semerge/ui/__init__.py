"""The Gradio app: one tab a file. Nothing is imported here; `semerge.ui.app` builds the page."""
