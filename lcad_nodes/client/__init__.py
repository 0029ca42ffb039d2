"""What `quickstart.py` runs: photo files, and the ComfyUI server that colorizes them."""
