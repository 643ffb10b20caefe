"""Every kind of network is one graph to the compiler: nothing in it breaks the graph, nothing compiles it anew."""

import pytest
import torch

from unet import Classifier, SuperResolutionUNet, UNet

TINY = dict(image_size=8, in_channels=3, base_channels=8, blocks_per_level=1, norm_groups=4)
UNET = TINY | dict(out_channels=6, num_classes=None, channel_mult=(1, 2), attention_resolutions=(4,))
RESIDUAL = dict(num_classes=3, attention_resolutions=(4,), channels_per_head=8, resampling="residual")
NETWORKS = {
    "paper": lambda: UNet(**UNET, heads=2, dropout=0.3),
    "lsun256": lambda: UNet(**UNET, heads=1, scale_shift=False),
    "by class": lambda: UNet(**UNET | RESIDUAL, checkpoint=(8, 4)),
    "superres": lambda: SuperResolutionUNet(**UNET, heads=2),
    "classifier": lambda: Classifier(**TINY, channel_mult=(1, 2), **RESIDUAL),
}
TOLD = {"by class": {"y": torch.tensor([0, 2])}, "superres": {"low_res": torch.zeros(2, 3, 4, 4)}}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_one_graph(name):
    torch.compiler.reset()
    network, graphs = NETWORKS[name](), []

    def count(graph, _):
        graphs.append(graph)
        return graph.forward

    call = torch.compile(network, fullgraph=True, backend=count)
    for time in (torch.tensor([0.0, 10.5]), torch.tensor([3.0, 999.0])):
        call(torch.randn(2, 3, 8, 8), time, **TOLD.get(name, {})).sum().backward()
    assert len(graphs) == 1
