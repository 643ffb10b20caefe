"""Sets of images, and the endless stream of batches made from them."""
