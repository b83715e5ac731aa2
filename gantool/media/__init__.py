"""Files to RGB arrays and back: pictures through Pillow and OpenCV, video through PyAV; knows nothing of torch."""
