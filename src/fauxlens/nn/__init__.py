"""Blocks that several networks share. They know tensors only: no files, no pictures, no losses.

attention.py        dense, fix-sparse and guided attention over a reduced grid of keys
folded.py           fix-sparse attention with the linear layers around it folded into keys and values
pointwise.py        GELU by way of the logistic function
mix_transformer.py  SegFormer's encoder: overlapping patches, reduced attention, convolutional MLP
bayar.py            Bayar's constrained convolution, in the two forms in which files keep it
noiseprint.py       the 17-layer noise extractor (DnCNN) of Noiseprint++
residuals.py        fixed noise residuals that cost next to nothing; SRM kernels
mlp_decoder.py      SegFormer's decoder: levels to one width and size, fused, projected
decoder.py          levels weighted by learnt vectors, summed, projected to one map
hrnet.py            branches at falling resolutions that exchange what they see
resnet.py           ResNet trunks with the strides, dilations and stems that the detectors ask for
swin.py             attention within shifted windows: Swin, under its official names
vit.py              the plain vision transformer, under timm's names
xception.py         Xception's trunk
"""
