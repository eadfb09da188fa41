"""Lets a torchvision whose compiled operators do not load be imported beside a CPU build of torch.

vLLM and transformers import torchvision for its pure-Python transforms. A CUDA wheel beside torch+cpu fails
at import with "operator torchvision::nms does not exist"; declaring the two operators' schemas first is
enough. Loaded in every interpreter of the environment through a .pth file that bin/setup writes, and only
where the real operators do not load.
"""

import importlib.abc
import sys


class _DeclareFirst(importlib.abc.MetaPathFinder):
    """Steps in once, just before torchvision is imported."""

    library = None

    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            library = torch.library.Library("torchvision", "DEF")
            library.define("nms" + schema)
            library.define("qnms" + schema)
            _DeclareFirst.library = library
        return None


sys.meta_path.insert(0, _DeclareFirst())
