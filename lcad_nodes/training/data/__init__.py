"""Where training's pictures come from: made-up scenes, a folder of photos, or shards."""
