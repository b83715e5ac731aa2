"""Files to RGB arrays and back: pictures with Pillow and OpenCV, video with PyAV; knows nothing of torch."""
