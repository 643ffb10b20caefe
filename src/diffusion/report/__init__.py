"""One page about many runs, made from their folders alone: python -m diffusion.report runs/"""
