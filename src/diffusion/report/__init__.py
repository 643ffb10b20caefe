"""One page about many runs, made from their folders alone: python -m diffusion.report runs/"""

from diffusion.report.page import write_page
from diffusion.report.terminal import text_table

__all__ = ["text_table", "write_page"]
