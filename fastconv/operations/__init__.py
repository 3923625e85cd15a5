"""The public calls: arguments become arrays and a problem, the planner does the rest. No maths.

conv2d.py, gradients.py                                                the convolution, and its gradients
conv1d.py                                                              the same of one row
conv_transpose2d.py, separable.py, depthwise_separable.py              other convolutions, with their gradients
prepared.py                                                            plans that keep packed weights
pooling.py, average_pooling.py, global_pooling.py, unfold.py           the rest of a CNN's geometry
adaptive_pooling.py, unpooling.py                                      pooling to a size, and back from places
bins.py                                                                bins of adaptive pooling
integers.py                                                            integers and booleans for pooling
elementwise.py                                                         activations by themselves, and their gradients
normalization.py                                                       normalisation, factors of channels
windows.py, planes.py, channels.py                                     windows of pooling, and the calls of its loops
arithmetic.py                                                          output shapes, parameters, receptive fields
repeated.py                                                            steps of a call, to be made again
lookup.py                                                              what is worked out once for calls alike
calls.py                                                               what these share
"""
