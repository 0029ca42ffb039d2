"""The only room that knows ComfyUI: its models, conditioning, attention, sampling and memory."""
