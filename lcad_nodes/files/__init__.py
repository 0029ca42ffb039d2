"""Files that people bring: pictures in any state, and captions in any known format."""
